package keyring

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const certificateURN = "fieldgate:gateway:" // then the id: urn:fieldgate:gateway:plant-7

// GatewayOf gives the gateway that a certificate of our own authority ca
// names, or ErrCredential. expired is how long after its end it is taken all the
// same. That the other side has its key, the handshake has shown.
func GatewayOf(cert *x509.Certificate, ca *tls.Certificate, expired time.Duration) (string, error) {
	if ca == nil {
		return "", fmt.Errorf("%w: this cloud gives no certificates", ErrCredential)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	at := time.Now()
	if late := at.Sub(cert.NotAfter); late > 0 && late < expired {
		at = cert.NotAfter
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCredential, err)
	}
	for _, u := range cert.URIs {
		if id, ok := strings.CutPrefix(u.Opaque, certificateURN); ok && u.Scheme == "urn" && gateway.ValidID(id) {
			return id, nil
		}
	}
	return "", fmt.Errorf("%w: its certificate names no gateway", ErrCredential)
}

// An Issuer makes certificates of gateways; nil: nobody does.
type Issuer func(id string, csr *x509.CertificateRequest) (certPEM []byte, err error)

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
	return Key{Kind: KindCertificate, SHA256: hex.EncodeToString(hash[:]), Added: now(), Until: cert.NotAfter}, nil
}

// IssuedBy gives the issuer that signs with ca, for life (0: 60 days). Without
// ca its answer is errRequest.
func IssuedBy(ca *tls.Certificate, life time.Duration) Issuer {
	return func(id string, csr *x509.CertificateRequest) ([]byte, error) { return issue(ca, life, id, csr) }
}

// issue makes a certificate of a gateway.
func issue(ca *tls.Certificate, life time.Duration, id string, csr *x509.CertificateRequest) ([]byte, error) {
	if ca == nil {
		return nil, fmt.Errorf("%w: this cloud gives no certificates; enrol without --mtls", ErrRequest)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
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

func certificateURI(id string) *url.URL { return &url.URL{Scheme: "urn", Opaque: certificateURN + id} }
