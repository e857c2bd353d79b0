package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Python is Debian's; another one on the path has not Debian's packages.
const Python = "/usr/bin/python3"

// Need ends a test that lacks a module of Python: a skip that says so, and in
// CI a failure.
func Need(t *testing.T, module, debian string) {
	t.Helper()
	if exec.Command(Python, "-c", "import "+module).Run() != nil {
		Skip(t, fmt.Sprintf("%s with the module %s is missing: apt-get install %s", Python, module, debian))
	}
}

// Skip ends a test that lacks a tool, which in CI is a failure.
func Skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED: " + reason)
}

// An Example is the cloud that the protocol's description comes with, as a
// process of its own on this machine's loopback.
type Example struct {
	Script string // path of example_cloud.py
	Dir    string // for all its files
	Addr   string // "127.0.0.1:port"
	Token  string // of its gateway, plant-7
	Limit  int    // KiB that it may write into one file; 0: as much as it likes

	server *exec.Cmd
}

// NewExample makes certificate and token. When t ends, so does the program.
func NewExample(t *testing.T, script string) *Example {
	t.Helper()
	Need(t, "websockets", "python3-websockets")
	e := &Example{Script: script, Dir: t.TempDir(), Addr: FreeAddr(t), Token: "fg1_plant-7_" + strings.Repeat("5e", 32)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err1 := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	secret, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	e.keep(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	e.keep(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	e.keep(t, "token", []byte(e.Token+"\n"))
	t.Cleanup(func() { e.Kill() })
	return e
}

func (e *Example) keep(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(e.Path(name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Path gives the path of one of its files: cert.pem, token, readings.ndjson.
func (e *Example) Path(name string) string { return filepath.Join(e.Dir, name) }

// Start starts the program and waits until it listens.
func (e *Example) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(e.Path("stderr"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	host, port, _ := net.SplitHostPort(e.Addr)
	args := []string{Python, e.Script, host, port, e.Path("cert.pem"), e.Path("key.pem"), e.Path("token"), e.Path("readings.ndjson")}
	if e.Limit > 0 {
		args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -f %d; exec "$@"`, e.Limit), "bash"}, args...)
	}
	e.server = exec.Command(args[0], args[1:]...)
	e.server.Stderr = log
	e.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.server.Start(); err != nil {
		t.Fatal(err)
	}
	for late := time.After(Patience); ; {
		conn, err := net.Dial("tcp", e.Addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-late:
			text, _ := os.ReadFile(e.Path("stderr"))
			t.Fatalf("the example does not listen: %v\n%s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the program at once, wherever it is, and gives its exit code; that
// of a program that was killed is -1.
func (e *Example) Kill() int {
	if e.server == nil {
		return -1
	}
	_ = e.server.Process.Kill()
	return e.Wait()
}

// Wait waits until the program has ended by itself.
func (e *Example) Wait() int {
	_ = e.server.Wait() // the exit code says it
	code := e.server.ProcessState.ExitCode()
	e.server = nil
	return code
}

// An exampleLine is a line of the example's file.
type exampleLine struct {
	Kind string `json:"kind"`
	Reading
	Last    uint64 `json:"last"`
	From    uint64 `json:"from"`
	Gap     *struct{ Why string }
	Thinned json.RawMessage `json:"thinned_rows"`
	End     *struct {
		Closed *uint64
		Why    string
		AtMost uint64 `json:"at_most"`
	}
}

// Read reads what the example holds.
func (e *Example) Read(t *testing.T) Log {
	t.Helper()
	b, err := os.ReadFile(e.Path("readings.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	held := newLog()
	for line := range bytes.Lines(b) {
		var l exampleLine
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Kind == "" {
			held.add(l.logLine())
		}
	}
	return held
}

func (l *exampleLine) logLine() logLine {
	out := logLine{Reading: l.Reading, First: l.From, From: l.From, N: l.Last + 1 - l.From}
	switch {
	case l.Gap != nil:
		out.Type, out.Why = "gap", l.Gap.Why
	case l.Thinned != nil:
		out.Type = "thinned"
	case l.End != nil:
		out.Type, out.Closed, out.Why, out.After, out.AtMost = "end", l.End.Closed, l.End.Why, l.Last, l.End.AtMost
	}
	return out
}
