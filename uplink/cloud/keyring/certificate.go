package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// Certificates are valid from long ago: a board without a battery-backed
// clock may believe in any time since its image was built, and must be able
// to connect to learn better. What protects is the CA's key, not the date.
var notBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	year       = 365 * 24 * time.Hour
	caLife     = 30 * year
	serverLife = 10 * year
	renewUnder = year // renewed at a start with less than this left
)

// The files in a state directory.
const (
	CAFile     = "ca.pem" // what gateways need in order to trust the server
	caKeyFile  = "ca.key"
	ServerFile = "server.pem"
	ServerKey  = "server.key"
	// The authority of the gateways' certificates. Servers of one cloud must
	// have the same: these two files are copied to each.
	GatewayCAFile = "gateway-ca.pem"
	GatewayCAKey  = "gateway-ca.key"
)

// Certificate gives a server certificate for localhost, 127.0.0.1, ::1 and
// names (DNS names or IP addresses), signed by a CA of its own. Both are kept
// in dir. The certificate is made anew when the names change or its end comes
// near; the CA stays, so that gateways need not be told.
func Certificate(dir string, names []string) (tls.Certificate, error) {
	names = append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	now := time.Now()
	ca, err := load(dir, CAFile, caKeyFile)
	if err = keyless(dir, CAFile, caKeyFile, err); errors.Is(err, fs.ErrNotExist) {
		ca, err = makeCA(dir, now)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate authority: %w", err)
	}
	cert, err := load(dir, ServerFile, ServerKey)
	if err == nil && serves(cert.Leaf, ca.Leaf, names) && now.Add(renewUnder).Before(cert.Leaf.NotAfter) {
		return cert, nil
	}
	if cert, err = makeServer(dir, ca, names, now); err != nil {
		return cert, fmt.Errorf("server certificate: %w", err)
	}
	return cert, nil
}

// GatewayCA gives the authority that signs the certificates of gateways, from
// dir; it is made if there is none. It signs nothing else, and nobody but the
// servers themselves trusts it.
func GatewayCA(dir string) (tls.Certificate, error) {
	ca, err := load(dir, GatewayCAFile, GatewayCAKey)
	if err = keyless(dir, GatewayCAFile, GatewayCAKey, err); errors.Is(err, fs.ErrNotExist) {
		t := authority("fieldgate-cloud gateways CA", time.Now())
		ca, err = make509(dir, [2]string{GatewayCAFile, GatewayCAKey}, t, nil)
	}
	if err != nil {
		return ca, fmt.Errorf("authority of the gateways: %w", err)
	}
	return ca, nil
}

// serves tells whether cert is signed by ca and valid for exactly names.
func serves(cert, ca *x509.Certificate, names []string) bool {
	have := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		have = append(have, ip.String())
	}
	var want []string
	for _, n := range names {
		if n = gateway.CertificateName(n); net.ParseIP(n) != nil {
			n = net.ParseIP(n).String()
		}
		want = append(want, n)
	}
	slices.Sort(have)
	slices.Sort(want)
	return cert.CheckSignatureFrom(ca) == nil && slices.Equal(have, slices.Compact(want))
}

func load(dir, certFile, keyFile string) (tls.Certificate, error) {
	cert, err := files.KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	return cert, unreadable(filepath.Join(dir, certFile), err)
}

// unreadable says who owns a file that cannot be read, and what to do. It is
// never replaced: what cannot be read is not lost.
func unreadable(path string, err error) error {
	if t := files.TroubleOf(err); t == files.None || t == files.Missing {
		return err
	}
	return fmt.Errorf("%s: %w", files.Explain(path, err), err)
}

// keyless is err of load, but for an authority whose certificate is there and
// whose key is not: a new one in its place would be trusted by no gateway.
func keyless(dir, certFile, keyFile string, err error) error {
	cert, key := filepath.Join(dir, certFile), filepath.Join(dir, keyFile)
	if _, there := os.Lstat(cert); !errors.Is(err, fs.ErrNotExist) || there != nil {
		return err
	}
	return fmt.Errorf("%s is there, but its key, %s, is not: put the key back from a backup; "+
		"only if there is none, remove %s to have a new authority made, which no gateway trusts until it is told", cert, key, cert)
}

func makeCA(dir string, now time.Time) (tls.Certificate, error) {
	host, _ := os.Hostname()
	return make509(dir, [2]string{CAFile, caKeyFile}, authority("fieldgate-cloud CA "+host, now), nil)
}

func authority(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             notBefore,
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

func makeServer(dir string, ca tls.Certificate, names []string, now time.Time) (tls.Certificate, error) {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "fieldgate-cloud"},
		NotBefore:   notBefore,
		NotAfter:    now.Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if t.NotAfter.After(ca.Leaf.NotAfter) {
		t.NotAfter = ca.Leaf.NotAfter
	}
	for _, n := range names {
		n = gateway.CertificateName(n)
		ip := net.ParseIP(n)
		switch {
		case ip == nil && !slices.Contains(t.DNSNames, n):
			t.DNSNames = append(t.DNSNames, n)
		case ip != nil && !slices.ContainsFunc(t.IPAddresses, ip.Equal):
			t.IPAddresses = append(t.IPAddresses, ip)
		}
	}
	return make509(dir, [2]string{ServerFile, ServerKey}, t, &ca)
}

// make509 makes a key and the certificate t for it, signed by ca (nil: by
// itself), and writes both. The key goes first: a power cut between the two
// leaves a pair that does not fit, which is made again.
func make509(dir string, files [2]string, t *x509.Certificate, ca *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return tls.Certificate{}, fmt.Errorf("draw serial number: %w", err)
	}
	parent, signer := t, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("encode key: %w", err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if err := durable.WriteFile(filepath.Join(dir, files[1]), keyPEM, 0o600, nil); err != nil {
		return tls.Certificate{}, err
	}
	if err := durable.WriteFile(filepath.Join(dir, files[0]), certPEM, 0o644, nil); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}
