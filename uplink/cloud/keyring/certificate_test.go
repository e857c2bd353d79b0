package keyring_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
)

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, err := keyring.Certificate(dir, []string{"cloud.example.com", "10.0.2.2", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	ca := read(t, dir, keyring.CAFile)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("no certificate in %s", ca)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "cloud.example.com", "10.0.2.2"} {
		// Also for boards whose clock is years behind.
		for _, now := range []time.Time{time.Now(), time.Date(2026, 4, 27, 0, 0, 0, 0, time.UTC), time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)} {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
			if err != nil {
				t.Errorf("%s at %s: %v", name, now, err)
			}
		}
	}
	for file, want := range map[string]os.FileMode{keyring.CAFile: 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600} {
		if fi, err := os.Stat(filepath.Join(dir, file)); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", file, fi.Mode(), err)
		}
	}
	if again, err := keyring.Certificate(dir, []string{"10.0.2.2", "cloud.example.com"}); err != nil || !again.Leaf.Equal(cert.Leaf) {
		t.Errorf("made anew for the same names (%v)", err)
	}
	other, err := keyring.Certificate(dir, []string{"other.example.com"})
	if err != nil || other.Leaf.Equal(cert.Leaf) || other.Leaf.VerifyHostname("other.example.com") != nil ||
		other.Leaf.VerifyHostname("10.0.2.2") == nil {
		t.Errorf("not made anew for other names (%v)", err)
	}
	zoned, err := keyring.Certificate(dir, []string{"fe80::1%eth0"})
	if err != nil || zoned.Leaf.VerifyHostname("fe80::1") != nil || len(zoned.Leaf.DNSNames) != 1 {
		t.Errorf("of an address with a zone: %v %v (%v)", zoned.Leaf.DNSNames, zoned.Leaf.IPAddresses, err)
	}
	if again, err := keyring.Certificate(dir, []string{"fe80::1%eth0"}); err != nil || !again.Leaf.Equal(zoned.Leaf) {
		t.Errorf("made anew for the same zone (%v)", err)
	}
	if !bytes.Equal(ca, read(t, dir, keyring.CAFile)) {
		t.Error("the CA did not stay")
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, err := keyring.Certificate(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(cert.Leaf.NotAfter) - 300*24*time.Hour)
		renewed, err := keyring.Certificate(dir, nil)
		if err != nil || !renewed.Leaf.NotAfter.After(cert.Leaf.NotAfter) {
			t.Errorf("valid until %s after %s (%v)", renewed.Leaf.NotAfter, cert.Leaf.NotAfter, err)
		}
	})
}

func TestHalfWrittenCertificate(t *testing.T) {
	dir := t.TempDir()
	first, err := keyring.Certificate(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Power went between writing a new key and its certificate.
	if err := os.WriteFile(filepath.Join(dir, "server.key"), read(t, dir, "ca.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := keyring.Certificate(dir, nil); err != nil || again.Leaf.Equal(first.Leaf) {
		t.Errorf("not made anew (%v)", err)
	}
	// A CA is never replaced without being asked.
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Certificate(dir, nil); err == nil {
		t.Error("a damaged CA was replaced silently")
	}
}

func TestStateIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	release, err := keyring.LockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.LockState(dir); err == nil {
		t.Error("locked twice")
	}
	release()
	again, err := keyring.LockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestOperatorToken(t *testing.T) {
	dir := t.TempDir()
	token, file, err := keyring.OperatorToken(dir)
	if err != nil || len(token) != 64 {
		t.Fatalf("%q, %v", token, err)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o600 || filepath.Dir(file) != dir {
		t.Errorf("%s: %v, %v", file, fi.Mode(), err)
	}
	if again, _, err := keyring.OperatorToken(dir); err != nil || again != token {
		t.Errorf("the second time %q, %v", again, err)
	}
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyring.OperatorToken(dir); err == nil {
		t.Error("an empty token was taken")
	}
}

func TestCredentials(t *testing.T) {
	c := keyring.Credentials{Dir: filepath.Join(t.TempDir(), "gateways")}
	if list, err := c.List(); err != nil || len(list) != 0 {
		t.Errorf("before the first: %v, %v", list, err)
	}
	for _, id := range []string{"b_1", "a", "c-2"} {
		if _, err := c.Add(id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "", "../x", "a.b", "ä"} {
		if token, err := c.Add(id); err == nil {
			t.Errorf("added %q as %s", id, token)
		}
	}
	if err := c.Remove("b_1"); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"b_1", "../gateways/a", ""} {
		if err := c.Remove(id); err == nil {
			t.Errorf("removed %q", id)
		}
	}
	list, err := c.List()
	if err != nil || len(list) != 2 || list[0].ID != "a" || list[1].ID != "c-2" {
		t.Errorf("list %v, %v", list, err)
	}
}

// An authority whose key is gone is not replaced: no gateway would trust the
// next one. A key alone is what a power cut leaves of a first start.
func TestAuthorityWithoutItsKey(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"ca":         func(dir string) error { _, err := keyring.Certificate(dir, nil); return err },
		"gateway-ca": func(dir string) error { _, err := keyring.GatewayCA(dir); return err },
	} {
		dir := t.TempDir()
		if err := errors.Join(make(dir), make(dir)); err != nil {
			t.Fatal(err)
		}
		before, key := read(t, dir, name+".pem"), read(t, dir, name+".key")
		if err := os.Remove(filepath.Join(dir, name+".key")); err != nil {
			t.Fatal(err)
		}
		if err := make(dir); err == nil || !strings.Contains(err.Error(), "put the key back") {
			t.Errorf("%s without its key: %v", name, err)
		}
		if !bytes.Equal(read(t, dir, name+".pem"), before) {
			t.Errorf("%s was replaced", name)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".key"), key, 0o600), make(dir),
			os.Remove(filepath.Join(dir, name+".pem")), make(dir)); err != nil {
			t.Errorf("%s with its key again, then with the key alone: %v", name, err)
		}
	}
}
