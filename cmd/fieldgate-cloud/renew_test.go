package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// made makes a certificate of 127.0.0.1 with a number, and its key, in files.
func made(t *testing.T, number int64, life time.Duration, certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(life), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shown asks a server for the number of its certificate.
func shown(t *testing.T, p *process) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// until asks again and again.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * answerWithin); !is(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not so", what)
		}
	}
}

// asked gives what the API answers to a token, with any certificate.
func asked(t *testing.T, p *process, path, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+p.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	way := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	answer, err := way.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status + "\n" + string(text)
}

// Renewed keys are taken while the server runs, and a SIGHUP ends nothing; that
// a certificate ends is told 14 days before.
func TestRenewedKeys(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	made(t, 1, 30*24*time.Hour, cert, key)
	p := start(t, state, "--cert", cert, "--key", key)
	if n := shown(t, p); n != 1 {
		t.Fatalf("certificate %d is shown", n)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(state, "operator.token")
	old, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	before := strings.TrimSpace(string(old))
	if text := asked(t, p, "/metrics", before); !strings.Contains(text, `fieldgate_cloud_certificate_end_seconds{of="`+cert+`"}`) {
		t.Errorf("the end of the certificate is no figure:\n%.2000s", text)
	}
	// The certificate comes before its key, then the key.
	made(t, 2, 24*time.Hour, cert, filepath.Join(dir, "next.key"))
	if n := shown(t, p); n != 1 {
		t.Errorf("without its key certificate %d is shown", n)
	}
	if err := os.Rename(filepath.Join(dir, "next.key"), key); err != nil {
		t.Fatal(err)
	}
	until(t, "the renewed certificate is shown", func() bool { return shown(t, p) == 2 })
	after := strings.Repeat("n", 40)
	if err := os.WriteFile(tokenFile, []byte(after+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the new token opens", func() bool { return strings.HasPrefix(asked(t, p, "/v1/gateways", after), "200") })
	if text := asked(t, p, "/v1/gateways", before); !strings.HasPrefix(text, "401") {
		t.Errorf("the old token still opens: %.100s", text)
	}
	until(t, "the end of the certificate is an alarm", func() bool {
		return strings.Contains(asked(t, p, "/v1/gateways", after), `"certificate_ends"`)
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	said := strings.Join(p.lines, "\n")
	for _, want := range []string{"SIGHUP", "the certificate of this server was renewed", "the operator's token was renewed", "ends on"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q:\n%s", want, said)
		}
	}
}
