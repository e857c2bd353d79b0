package files_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// put writes a file that is its owner's alone.
func put(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// in16 is text as Windows' editor saves "Unicode".
func in16(text string, mark bool, bigEndian bool) string {
	var b []byte
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	for _, u := range units {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
			continue
		}
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// readers are all that open a path; none may wait, or read without end.
var readers = map[string]func(path string) error{
	"Read":        func(p string) error { _, err := files.Read(p, 100); return err },
	"Text":        func(p string) error { _, err := files.Text(p, 100); return err },
	"Line":        func(p string) error { _, err := files.Line(p); return err },
	"Secret":      func(p string) error { _, err := files.Secret(p); return err },
	"Authorities": func(p string) error { _, err := files.Authorities(p); return err },
	"KeyPair":     func(p string) error { _, err := files.KeyPair(p, p); return err },
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var problems []error
	problems = append(problems, unix.Mkfifo(at("fifo"), 0o600), os.Symlink(at("fifo"), at("link to a fifo")), os.Mkdir(at("folder"), 0o700),
		os.Symlink("/dev/zero", at("zero")), os.Symlink("nowhere", at("dangling")), os.Symlink("loop", at("loop")))
	socket, err := net.Listen("unix", at("socket"))
	if err := errors.Join(append(problems, err)...); err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for name, want := range map[string]struct {
		err   error
		words string
	}{
		"fifo": {files.ErrKind, "is a FIFO"}, "link to a fifo": {files.ErrKind, "is a FIFO"}, "folder": {files.ErrKind, "is a folder"},
		"zero": {files.ErrKind, "is a device"}, "socket": {files.ErrKind, "is a socket"}, "loop": {unix.ELOOP, "loop"},
		"dangling": {files.ErrLink, "nowhere is not there"}, "none": {fs.ErrNotExist, "no such file"},
	} {
		for how, read := range readers {
			if err := read(at(name)); !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.words) {
				t.Errorf("%s of %s: %v", how, name, err)
			}
		}
	}
}

// A file that has no end, and says it has no size, is read up to the bound.
func TestTheBoundHoldsWhateverTheSizeSays(t *testing.T) {
	for how, read := range readers {
		path := put(t, "")
		if err := os.Truncate(path, 1<<40); err != nil { // a file with a hole of a tebibyte
			t.Fatal(err)
		}
		if err := read(path); !errors.Is(err, files.ErrSize) {
			t.Errorf("%s of a tebibyte: %v", how, err)
		}
	}
	if _, err := files.Read("/proc/self/status", 100); !errors.Is(err, files.ErrSize) {
		t.Errorf("a file of size 0 with more in it: %v", err)
	}
	if data, err := files.Read(put(t, strings.Repeat("x", 100)), 100); len(data) != 100 || err != nil {
		t.Errorf("a file as large as allowed: %d, %v", len(data), err)
	}
}

func TestReadLineAndSecret(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "\n": "", "fg1": "fg1", "fg1\n": "fg1", "fg1\r\n": "fg1", "fg1\r": "fg1", "  fg1 \t\n": "fg1", "\n\r\n fg1 \r\n\r\n\n": "fg1",
		"\xef\xbb\xbffg1\r\n": "fg1", "\xef\xbb\xbf": "", "two words\n": "two words",
	} {
		for _, read := range []func(string) (string, error){files.Line, files.Secret} {
			if got, err := read(put(t, text)); got != want || err != nil {
				t.Errorf("%q gives %q, %v, want %q", text, got, err, want)
			}
		}
	}
	for text, words := range map[string]string{
		"fg1\nfg2\n": "2 lines", "fg1\rfg2": "2 lines", "#\n\nfg1": "2 lines",
		in16("fg1\r\n", true, false): "UTF-16", in16("fg1\r\n", true, true): "UTF-16", in16("fg1", false, false): "zero bytes",
		"fg1\xe9": "another encoding", "\xef\xbb": "another encoding", strings.Repeat("x", files.MostLine+1): "too large",
	} {
		for _, read := range []func(string) (string, error){files.Line, files.Secret} {
			if got, err := read(put(t, text)); err == nil || got != "" || !strings.Contains(err.Error(), words) ||
				strings.Contains(err.Error(), "fg1") {
				t.Errorf("%.20q gives %q, %v, want an error with %q", text, got, err, words)
			}
		}
	}
}

func TestSecretIsForItsOwnerAlone(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o610, 0o666} {
		path := put(t, "fg1")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := files.Secret(path); got != "" || !errors.Is(err, files.ErrMode) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%o: %q, %v", mode, got, err)
		}
	}
}

// pair makes a certificate that signs itself, and its key, in PEM form.
func pair(t *testing.T, name string) (cert *x509.Certificate, certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// What encoding/pem would leave out is taken, or refused: nobody looks for the
// second authority of a file when its first one works.
func TestAuthorities(t *testing.T) {
	one, a, key := pair(t, "a")
	two, b, _ := pair(t, "b")
	both := x509.NewCertPool()
	both.AddCert(one)
	both.AddCert(two)
	for name, text := range map[string]string{
		"plain": a + b, "byte order mark": "\xef\xbb\xbf" + a + b,
		"CRLF": strings.ReplaceAll(a+b, "\n", "\r\n"), "CR": strings.ReplaceAll(a+b, "\n", "\r"),
		"no new line between": strings.TrimSpace(a) + b, "a space between": strings.TrimSpace(a) + " " + b,
		"no new line at the end": a + strings.TrimSpace(b),
		"spaces at line ends":    strings.ReplaceAll(a+b, "\n", " \t\n"), "indented": "  " + strings.ReplaceAll(a+b, "\n", "\n  "),
		"words around": "subject=a\n" + a + "\n# the new one\n\n" + b + "end\n", "a key beside": a + key + b, "twice": a + b + a,
		"key glued": strings.TrimSpace(a) + strings.TrimSpace(key) + b,
	} {
		if pool, err := files.Authorities(put(t, text)); err != nil || !pool.Equal(both) {
			t.Errorf("%s: not both authorities, %v", name, err)
		}
	}
	block, _ := pem.Decode([]byte(b))
	for name, c := range map[string]struct{ text, words string }{
		"empty": {"", "no certificate"}, "only a key": {key, "no certificate"}, "words": {"hello\n", "no certificate"},
		"second cut off":        {a + b[:len(b)-40], "line"},
		"second without an end": {a + strings.Replace(b, "-----END CERTIFICATE-----", "", 1), "line"},
		"first without an end":  {strings.Replace(a, "-----END CERTIFICATE-----", "", 1) + b, "begins in line 1"},
		"behind words":          {a + "x " + b, "cut off or damaged"},
		"no base64":             {a + strings.Replace(b, "\nMII", "\n!!!", 1), "cut off or damaged"},
		"no certificate":        {a + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"},
		"of openssl":            {a + strings.ReplaceAll(b, "CERTIFICATE", "TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE"},
		"UTF-16":                {in16(a+b, true, false), "UTF-16"}, "UTF-16 without a mark": {in16(a+b, false, true), "zero bytes"},
		"DER": {string(block.Bytes), "DER"},
	} {
		if pool, err := files.Authorities(put(t, c.text)); err == nil || pool != nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.words)
		}
	}
}

func TestKeyPair(t *testing.T) {
	cert, a, key := pair(t, "a")
	_, b, other := pair(t, "b")
	for name, texts := range map[string][2]string{
		"plain":            {a, key},
		"byte order marks": {"\xef\xbb\xbf" + a, "\xef\xbb\xbf" + key},
		"CRLF":             {strings.ReplaceAll(a, "\n", "\r\n"), strings.ReplaceAll(key, "\n", "\r\n")},
		"glued chain":      {strings.TrimSpace(a) + b, key}, "all in both": {a + key, key + a},
	} {
		got, err := files.KeyPair(put(t, texts[0]), put(t, texts[1]))
		if err != nil || !bytes.Equal(got.Certificate[0], cert.Raw) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "glued chain" && len(got.Certificate) != 2 {
			t.Error("the chain lost its second certificate")
		}
	}
	for name, c := range map[string]struct{ cert, key, words string }{
		"another key": {a, other, "private key does not match"}, "no key": {a, "", "failed to find"},
		"passphrase": {a, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "passphrase"},
		"cut chain":  {a + b[:100], key, "cut off or damaged"}, "UTF-16": {a, in16(key, true, true), "UTF-16"},
	} {
		_, err := files.KeyPair(put(t, c.cert), put(t, c.key))
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.words)
		}
	}
}
