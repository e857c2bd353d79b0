package files_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// numbered makes a certificate with a number, and its key.
func numbered(t *testing.T, number int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func place(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip turns a link to another folder at once, as Kubernetes does.
func flip(t *testing.T, to, link string) {
	t.Helper()
	if err := os.Symlink(to, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}

// A pair is taken, however it is put in place, by the next TLS handshake; one
// that is half there is not, which is told once.
func TestRenewedPair(t *testing.T) {
	dir := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	for _, set := range []string{"a", "b"} {
		if err := os.Mkdir(in(set), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := numbered(t, 1)
	place(t, in("a", "tls.crt"), cert)
	place(t, in("a", "tls.key"), key)
	flip(t, "a", in("live"))
	var told bytes.Buffer
	pair := []string{in("live", "tls.crt"), in("live", "tls.key")}
	renewed := files.Renew("the pair", pair, func() (tls.Certificate, error) { return files.KeyPair(pair[0], pair[1]) },
		slog.New(slog.NewTextHandler(&told, nil)))
	serial := served(t, func() (*tls.Certificate, error) { c, err := renewed.Look(); return &c, err })
	want := func(number int64, after string, lines int) {
		t.Helper()
		for range 3 {
			if got := serial(); got != number {
				t.Errorf("after %s certificate %d is served, want %d", after, got, number)
			}
		}
		if n := strings.Count(told.String(), "\n"); n != lines {
			t.Errorf("after %s the log has %d lines, want %d:\n%s", after, n, lines, told.String())
		}
	}
	want(1, "the start", 0)
	cert, key = numbered(t, 2)
	place(t, in("a", "tls.crt"), cert)
	want(1, "a certificate whose key is to come", 1)
	place(t, in("a", "tls.key"), key[:len(key)/2])
	want(1, "half a key", 1)
	place(t, in("a", "tls.key"), key)
	want(2, "writing in place", 2)
	cert, key = numbered(t, 3)
	place(t, in("b", "tls.crt"), cert)
	place(t, in("b", "tls.key"), key)
	flip(t, "b", in("live"))
	want(3, "turning a link", 3)
	if err := os.Remove(in("b", "tls.key")); err != nil {
		t.Fatal(err)
	}
	want(3, "removing the key", 4)
	cert, key = numbered(t, 4)
	place(t, in("new.key"), key)
	place(t, in("new.crt"), cert)
	for from, to := range map[string]string{"new.key": "tls.key", "new.crt": "tls.crt"} {
		if err := os.Rename(in(from), in("b", to)); err != nil {
			t.Fatal(err)
		}
	}
	want(4, "renaming", 5)
}

// served gives who asks a real TLS server for the number of its certificate.
func served(t *testing.T, certificate func() (*tls.Certificate, error)) func() int64 {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { _ = c.(*tls.Conn).Handshake(); c.Close() }(c)
		}
	}()
	return func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
}

// What is made at first is not made again when its file is away for a moment,
// and not told as renewed.
func TestRenewedIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	made := 0
	var told bytes.Buffer
	renewed := files.Renew("the token", []string{path}, func() (string, error) {
		if _, err := os.Stat(path); err != nil {
			made++
			place(t, path, []byte("made"))
		}
		return files.Line(path)
	}, slog.New(slog.NewTextHandler(&told, nil)))
	for range 2 {
		if token, err := renewed.Look(); token != "made" || err != nil || told.Len() > 0 {
			t.Fatalf("%q, %v; told %s", token, err, told.String())
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if token, err := renewed.Look(); token != "made" || err != nil || made != 1 {
		t.Errorf("with the file away: %q, %v, made %d times", token, err, made)
	}
	place(t, path, []byte("another"))
	if token, err := renewed.Look(); token != "another" || err != nil {
		t.Errorf("with another: %q, %v", token, err)
	}
}
