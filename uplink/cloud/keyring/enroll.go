package keyring

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	oncePrefix  = "fge1_"
	onceRepeat  = 10 * time.Minute // the same answer may be asked for again so long
	defaultCert = 60 * 24 * time.Hour
	// SweepEvery is how often a server sweeps, MaxEnrollment how many bytes a
	// request may have.
	SweepEvery    = time.Minute
	MaxEnrollment = 16 << 10
)

// ErrToken is a one-time token that opens nothing.
var ErrToken = fmt.Errorf("%w: the one-time token is unknown, used or expired", ErrCredential)

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

// An Enrollment is the request for a credential. Without a CSR it is for a
// bearer token.
type Enrollment struct {
	Token     string `json:"token,omitempty"` // at /v1/enroll
	InstallID string `json:"install_id,omitempty"`
	CSR       string `json:"csr,omitempty"` // PEM
}

// A Grant is the answer: a credential, once.
type Grant struct {
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
	c.Sweep()
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
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	if _, err := c.Store().Put(ctx, key, body, rev, max(time.Minute, time.Until(o.Expires)+onceRepeat)); err != nil {
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

// Sweep forgets one-time tokens that open nothing any more.
func (c Credentials) Sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	for doc, err := range c.Store().List(ctx, "token") {
		var o once
		if err != nil {
			return // another time
		}
		if json.Unmarshal(doc.Body, &o) != nil || o.over(time.Now()) {
			_ = c.Store().Delete(ctx, doc.Key) // another time
		}
	}
}

// removeOnce takes away every one-time token of a gateway.
func (c Credentials) removeOnce(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	for doc, err := range c.Store().List(ctx, "token") {
		var o once
		if err == nil && json.Unmarshal(doc.Body, &o) == nil && o.GatewayID == id {
			err = c.Store().Delete(ctx, doc.Key)
		}
		if err != nil {
			return fmt.Errorf("remove one-time tokens of %s: %w", id, err)
		}
	}
	return nil
}

// Redeem exchanges a one-time token. Asked again with the same token, install
// id and CSR within ten minutes it gives the same.
//
// If power dies after the token was marked used, and before the credential is
// there, the next request finds the mark and makes the credential of it; if it
// dies later, that request changes nothing.
func (c Credentials) Redeem(q Enrollment, issue Issuer) (Grant, error) {
	rest, ok := strings.CutPrefix(q.Token, oncePrefix)
	cut := strings.LastIndexByte(rest, '_')
	if !ok || cut < 0 {
		return Grant{}, ErrToken
	}
	secret, err := hex.DecodeString(rest[cut+1:])
	if err != nil || len(secret) != 16 {
		return Grant{}, ErrToken
	}
	csr, csrHash, err := q.request()
	if err != nil {
		return Grant{}, err
	}
	// First the token is marked used, with all that the credential is made of: a
	// salt, or the certificate itself. If power dies here, the token is used and
	// there is no credential; the same request finds the mark and goes on below.
	o, err := c.mark(onceKey(secret), func(o *once) error {
		if o.GatewayID != rest[:cut] {
			return ErrToken
		}
		o.Used = &use{At: now(), InstallID: q.InstallID, CSR: csrHash}
		if csr == nil {
			o.Used.Salt = RandomHex()
			return nil
		}
		cert, err := issue(o.GatewayID, csr)
		o.Used.Certificate = string(cert)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	// It may have been used by another board, or for another key.
	if o.Used.InstallID != q.InstallID || o.Used.CSR != csrHash {
		return Grant{}, ErrToken
	}
	// Then the credential is made of the mark. If power dies behind it, the
	// answer is lost; the same request gives the same answer, and changes nothing.
	return c.grant(o, secret)
}

// Rotate offers a gateway that has a valid key the next one.
func (c Credentials) Rotate(id string, q Enrollment, issue Issuer) (Grant, error) {
	csr, hash, err := q.request()
	if err != nil {
		return Grant{}, err
	}
	o := once{GatewayID: id, Used: &use{CSR: hash, Salt: RandomHex()}}
	if csr != nil {
		cert, err := issue(id, csr)
		if err != nil {
			return Grant{}, err
		}
		o.Used.Certificate = string(cert)
	}
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // ends the process rather than fail
	return c.grant(o, secret[:])
}

// mark gives a one-time token that has been used: now, by do, or before.
func (c Credentials) mark(key string, do func(*once) error) (o once, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), Within)
	defer cancel()
	for range keyringTries {
		doc, err := c.Store().Get(ctx, key)
		if errors.Is(err, record.ErrNoDoc) {
			return o, ErrToken
		}
		if err != nil {
			return o, fmt.Errorf("read one-time token: %w", err)
		}
		o = once{}
		if json.Unmarshal(doc.Body, &o) != nil || o.over(time.Now()) {
			return o, ErrToken
		}
		// Used before: by the same request again, or by somebody else. The caller
		// compares what the mark says with what was asked.
		if o.Used != nil {
			return o, nil
		}
		if err := do(&o); err != nil {
			return o, err
		}
		// Of two requests at the same time one finds another revision: it reads again,
		// and finds the mark of the other. What do made for it is given to nobody.
		if err := c.putOnce(key, o, doc.Rev); !errors.Is(err, record.ErrRevision) {
			return o, err
		}
	}
	return o, fmt.Errorf("keep one-time token: %w", record.ErrRevision)
}

// grant makes the credential that the use of a one-time token stands for.
func (c Credentials) grant(o once, secret []byte) (Grant, error) {
	g := Grant{GatewayID: o.GatewayID, Certificate: o.Used.Certificate}
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
		return Grant{}, err
	}
	return g, c.offer(o.GatewayID, key)
}

// ErrRequest is a request that makes no sense.
var ErrRequest = errors.New("the request cannot be used")

// request reads the CSR, if there is one, and its hash. Of what it says only
// the key counts.
func (q Enrollment) request() (*x509.CertificateRequest, string, error) {
	if id, err := hex.DecodeString(q.InstallID); err != nil || len(id) > 32 {
		return nil, "", fmt.Errorf("%w: install_id is not hex", ErrRequest)
	}
	if q.CSR == "" {
		return nil, "", nil
	}
	block, _ := pem.Decode([]byte(q.CSR))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, "", fmt.Errorf("%w: csr is not a CERTIFICATE REQUEST in PEM", ErrRequest)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: csr: %w", ErrRequest, err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 4096 {
			return nil, "", fmt.Errorf("%w: csr: an RSA key of %d bits", ErrRequest, key.N.BitLen())
		}
	default:
		return nil, "", fmt.Errorf("%w: csr: a key of type %T", ErrRequest, key)
	}
	hash := sha256.Sum256(csr.Raw)
	return csr, hex.EncodeToString(hash[:]), nil
}
