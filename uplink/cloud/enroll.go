package cloud

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	oncePrefix  = "fge1_"
	onceRepeat  = 10 * time.Minute // the same answer may be asked for again so long
	onceSweep   = time.Minute
	enrollMost  = 16 << 10 // bytes of a request
	defaultCert = 60 * 24 * time.Hour
)

// errOnce is a one-time token that opens nothing.
var errOnce = fmt.Errorf("%w: the one-time token is unknown, used or expired", ErrCredential)

// A once is a one-time token as the server keeps it: by the hash of its 128
// bits.
type once struct {
	GatewayID string    `json:"gateway_id"`
	Expires   time.Time `json:"expires"`
	Used      *use      `json:"used,omitempty"`
}

// A use is the one use of a one-time token, kept until nobody may ask for the
// answer again.
type use struct {
	At          time.Time `json:"at"`
	InstallID   string    `json:"install_id"`
	CSR         string    `json:"csr_sha256,omitempty"`
	Salt        string    `json:"salt,omitempty"`        // makes the secret, with the token: see derived
	Certificate string    `json:"certificate,omitempty"` // PEM
}

// An enrollment is the request for a credential. Without a CSR it is for a
// bearer token.
type enrollment struct {
	Token     string `json:"token,omitempty"` // at /v1/enroll
	InstallID string `json:"install_id,omitempty"`
	CSR       string `json:"csr,omitempty"` // PEM
}

// A grant is the answer: a credential, once.
type grant struct {
	GatewayID   string     `json:"gateway_id"`
	Token       string     `json:"token,omitempty"`
	Certificate string     `json:"certificate,omitempty"` // PEM
	NotAfter    *time.Time `json:"not_after,omitempty"`   // of the certificate
}

func onceKey(secret []byte) string {
	hash := sha256.Sum256(secret)
	return "token." + hex.EncodeToString(hash[:])
}

// AddOnce makes a one-time token for a gateway, fge1_<id>_<32 hex>. Used within
// ttl it is exchanged for a credential, which ends an older one when it is
// used for the first time.
func (c Credentials) AddOnce(id string, ttl time.Duration) (string, error) {
	if !gateway.ValidID(id) {
		return "", fmt.Errorf("gateway id %q: want 1 to 64 of A-Z a-z 0-9 _ -", id)
	}
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // ends the process rather than fail
	c.sweep()
	if err := c.putOnce(onceKey(secret[:]), once{GatewayID: id, Expires: now().Add(ttl)}, 0); err != nil {
		return "", err
	}
	return oncePrefix + id + "_" + hex.EncodeToString(secret[:]), nil
}

func (c Credentials) putOnce(key string, o once, rev uint64) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode one-time token: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyringWithin)
	defer cancel()
	if _, err := c.shelf().Put(ctx, key, body, rev, max(time.Minute, time.Until(o.Expires)+onceRepeat)); err != nil {
		return fmt.Errorf("keep one-time token: %w", err)
	}
	return nil
}

// over reports whether a one-time token opens nothing any more.
func (o once) over(at time.Time) bool {
	if o.Used != nil {
		return at.After(o.Used.At.Add(onceRepeat))
	}
	return at.After(o.Expires)
}

// sweep forgets one-time tokens that open nothing any more.
func (c Credentials) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), keyringWithin)
	defer cancel()
	for doc, err := range c.shelf().List(ctx, "token") {
		var o once
		if err != nil {
			return // another time
		}
		if json.Unmarshal(doc.Body, &o) != nil || o.over(time.Now()) {
			_ = c.shelf().Delete(ctx, doc.Key) // another time
		}
	}
}

// removeOnce takes away every one-time token of a gateway.
func (c Credentials) removeOnce(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), keyringWithin)
	defer cancel()
	for doc, err := range c.shelf().List(ctx, "token") {
		var o once
		if err == nil && json.Unmarshal(doc.Body, &o) == nil && o.GatewayID == id {
			err = c.shelf().Delete(ctx, doc.Key)
		}
		if err != nil {
			return fmt.Errorf("remove one-time tokens of %s: %w", id, err)
		}
	}
	return nil
}

// An issuer makes certificates of gateways; nil: nobody does.
type issuer func(id string, csr *x509.CertificateRequest) (certPEM []byte, err error)

// redeem exchanges a one-time token. Asked again with the same token, install
// id and CSR within ten minutes it gives the same.
//
// If power dies after the token was marked used, and before the credential is
// there, the next request finds the mark and makes the credential of it; if it
// dies later, that request changes nothing.
func (c Credentials) redeem(q enrollment, issue issuer) (grant, error) {
	rest, ok := strings.CutPrefix(q.Token, oncePrefix)
	cut := strings.LastIndexByte(rest, '_')
	if !ok || cut < 0 {
		return grant{}, errOnce
	}
	secret, err := hex.DecodeString(rest[cut+1:])
	if err != nil || len(secret) != 16 {
		return grant{}, errOnce
	}
	csr, csrHash, err := q.request()
	if err != nil {
		return grant{}, err
	}
	o, err := c.mark(onceKey(secret), func(o *once) error {
		if o.GatewayID != rest[:cut] {
			return errOnce
		}
		o.Used = &use{At: now(), InstallID: q.InstallID, CSR: csrHash}
		if csr == nil {
			o.Used.Salt = randomHex()
			return nil
		}
		cert, err := issue(o.GatewayID, csr)
		o.Used.Certificate = string(cert)
		return err
	})
	if err != nil {
		return grant{}, err
	}
	if o.Used.InstallID != q.InstallID || o.Used.CSR != csrHash {
		return grant{}, errOnce
	}
	return c.grant(o, secret)
}

// mark gives a one-time token that has been used: now, by do, or before.
func (c Credentials) mark(key string, do func(*once) error) (o once, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyringWithin)
	defer cancel()
	for range keyringTries {
		doc, err := c.shelf().Get(ctx, key)
		if errors.Is(err, record.ErrNoDoc) {
			return o, errOnce
		}
		if err != nil {
			return o, fmt.Errorf("read one-time token: %w", err)
		}
		o = once{}
		if json.Unmarshal(doc.Body, &o) != nil || o.over(time.Now()) {
			return o, errOnce
		}
		if o.Used != nil {
			return o, nil
		}
		if err := do(&o); err != nil {
			return o, err
		}
		if err := c.putOnce(key, o, doc.Rev); !errors.Is(err, record.ErrRevision) {
			return o, err
		}
	}
	return o, fmt.Errorf("keep one-time token: %w", record.ErrRevision)
}

// grant makes the credential that the use of a one-time token stands for.
func (c Credentials) grant(o once, secret []byte) (grant, error) {
	g := grant{GatewayID: o.GatewayID, Certificate: o.Used.Certificate}
	var key Key
	var err error
	if o.Used.Certificate != "" {
		key, err = certificateKey(o.Used.Certificate)
		g.NotAfter = &key.Until
	} else {
		token := derived(secret, o.Used.Salt)
		g.Token = tokenPrefix + o.GatewayID + "_" + token
		key, err = tokenKey(token)
	}
	if err != nil {
		return grant{}, err
	}
	return g, c.offer(o.GatewayID, key)
}

func certificateKey(certPEM string) (Key, error) {
	block, _ := pem.Decode([]byte(certPEM))
	if block == nil {
		return Key{}, errors.New("a certificate that is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("parse certificate: %w", err)
	}
	hash := sha256.Sum256(cert.Raw)
	return Key{Kind: kindCertificate, SHA256: hex.EncodeToString(hash[:]), Added: now(), Until: cert.NotAfter}, nil
}

// errRequest is a request that makes no sense.
var errRequest = errors.New("the request cannot be used")

// request reads the CSR, if there is one, and its hash. Of what it says only
// the key counts.
func (q enrollment) request() (*x509.CertificateRequest, string, error) {
	if id, err := hex.DecodeString(q.InstallID); err != nil || len(id) > 32 {
		return nil, "", fmt.Errorf("%w: install_id is not hex", errRequest)
	}
	if q.CSR == "" {
		return nil, "", nil
	}
	block, _ := pem.Decode([]byte(q.CSR))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, "", fmt.Errorf("%w: csr is not a CERTIFICATE REQUEST in PEM", errRequest)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: csr: %w", errRequest, err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 4096 {
			return nil, "", fmt.Errorf("%w: csr: an RSA key of %d bits", errRequest, key.N.BitLen())
		}
	default:
		return nil, "", fmt.Errorf("%w: csr: a key of type %T", errRequest, key)
	}
	hash := sha256.Sum256(csr.Raw)
	return csr, hex.EncodeToString(hash[:]), nil
}

// issue makes a certificate of a gateway.
func (s *Server) issue(id string, csr *x509.CertificateRequest) ([]byte, error) {
	ca := s.keys.Load().GatewayCA
	if ca == nil {
		return nil, fmt.Errorf("%w: this cloud gives no certificates; enrol without --mtls", errRequest)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	life := s.opt.CertLife
	if life == 0 {
		life = defaultCert
	}
	end := time.Now().Add(life)
	begin := time.Now().Add(-time.Hour) // clocks of servers differ
	if begin.After(end) {
		begin = end.Add(-time.Hour)
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id},
		URIs:         []*url.URL{certificateURI(id)},
		NotBefore:    begin,
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.Leaf, csr.PublicKey, ca.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
