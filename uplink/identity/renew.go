package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A request asks the cloud for a credential: for a token, or, with a key of
// our own, for a certificate. Sent again it is the same to the byte.
type request struct {
	Token     string `json:"token,omitempty"` // one-time
	InstallID string `json:"install_id,omitempty"`
	CSR       string `json:"csr,omitempty"`

	private string // PEM
}

// newRequest makes a request, with a new key if it is for a certificate.
func newRequest(certificate bool) (*request, error) {
	q := &request{}
	if !certificate {
		return q, nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	q.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	q.private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return q, nil
}

// A Grant is what the cloud answers.
type Grant struct {
	GatewayID   string    `json:"gateway_id"`
	Token       string    `json:"token"`
	Certificate string    `json:"certificate"`
	NotAfter    time.Time `json:"not_after"`
}

// key makes a credential of the cloud's answer, if it fits what was asked. now
// is by the cloud's clock, zero if that is not known.
func (q *request) key(answer []byte, now time.Time) (key, Grant, error) {
	var g Grant
	if json.Unmarshal(answer, &g) != nil { // its error may repeat what is secret
		return key{}, g, errors.New("the cloud's answer is no credential")
	}
	var k key
	if !now.IsZero() {
		k.Issued = now.UTC().Truncate(time.Second)
	}
	if q.CSR == "" {
		if !strings.HasPrefix(g.Token, "fg1_") || len(g.Token) > 1024 ||
			strings.ContainsFunc(g.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return key{}, g, errors.New("the cloud's answer holds no token")
		}
		k.Token = g.Token
		return k, g, nil
	}
	if _, err := tls.X509KeyPair([]byte(g.Certificate), []byte(q.private)); err != nil {
		return key{}, g, fmt.Errorf("the cloud's certificate is not for this gateway's key: %w", err)
	}
	block, _ := pem.Decode([]byte(g.Certificate)) // X509KeyPair has found one
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return key{}, g, fmt.Errorf("the cloud's certificate: %w", err)
	}
	k.Certificate, k.Private, k.NotAfter = g.Certificate, q.private, cert.NotAfter
	if now.IsZero() {
		k.Issued = cert.NotBefore
	}
	return k, g, nil
}

// Renew gives the request for the next credential when it is time for one by
// the cloud's clock, else nil; refused says that the present one, a
// certificate, was refused and may have ended.
func (k *Store) Renew(now time.Time, refused bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held.Keys) != 1 || !k.dueLocked(now, refused) {
		return nil, nil
	}
	k.asked = k.asked || refused
	if k.pending == nil {
		q, err := newRequest(k.held.Keys[0].Token == "")
		if err != nil {
			return nil, err
		}
		k.pending = q
	}
	return json.Marshal(k.pending)
}

func (k *Store) dueLocked(now time.Time, refused bool) bool {
	one := k.held.Keys[0]
	if one.Token == "" {
		life := one.NotAfter.Sub(one.Issued)
		return refused || !one.Issued.IsZero() && now.After(one.Issued.Add(life*2/3))
	}
	return k.o.Rotate > 0 && !one.Issued.IsZero() && now.After(one.Issued.Add(k.o.Rotate))
}

// Renewed takes the cloud's answer. Without an error the next credential is
// durable, and Show gives it from now on.
func (k *Store) Renewed(answer []byte, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending == nil || len(k.held.Keys) != 1 {
		return errors.New("nothing was asked for")
	}
	next, _, err := k.pending.key(answer, now)
	if err != nil {
		return err
	}
	before := k.held
	k.held.Keys = []key{before.Keys[0], next}
	if err := k.saveLocked(); err != nil {
		// The cloud has not seen it used: the present one stays valid.
		k.held, k.unsaved = before, false
		return err
	}
	k.pending, k.other = nil, false
	return nil
}
