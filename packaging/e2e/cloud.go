package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Cloud is the program fieldgate-cloud on this machine's loopback, with one
// gateway enrolled.
type Cloud struct {
	Program string   // path of fieldgate-cloud
	State   string   // its state folder
	Addr    string   // "127.0.0.1:port"
	Gateway string   // gateway_id
	Name    string   // by which the gateway reaches it; it gets a certificate for it
	Flags   []string // more for fieldgate-cloud run

	server *exec.Cmd // nil: stopped
}

// Enrol makes the gateway known and gives its token. When t ends, so does the
// program, if it runs then; Start and Stop may be called by subtests of t.
func (c *Cloud) Enrol(t *testing.T) string {
	t.Helper()
	token, err := exec.Command(c.Program, "gateway", "add", c.Gateway, "--state", c.State).Output()
	if err != nil {
		t.Fatalf("add the gateway: %v", err)
	}
	t.Cleanup(func() { c.Stop(t) })
	return string(bytes.TrimSpace(token))
}

// Start starts the program and waits until it answers.
func (c *Cloud) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(c.State, "stderr"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.server = exec.Command(c.Program, append([]string{"run", "--listen", c.Addr, "--state", c.State, "--name", c.Name}, c.Flags...)...)
	c.server.Stderr = log
	c.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	c.Await(t, "answers", func(Log) bool { return true })
}

// Running tells whether the program was started and not ended.
func (c *Cloud) Running() bool { return c.server != nil }

// Stop ends the program in order.
func (c *Cloud) Stop(t *testing.T) {
	t.Helper()
	if c.server == nil {
		return
	}
	_ = c.server.Process.Signal(syscall.SIGTERM)
	if err := c.server.Wait(); err != nil {
		t.Errorf("fieldgate-cloud did not stop in order: %v", err)
	}
	c.server = nil
}

// Kill ends the program as a power cut would, its disk excepted.
func (c *Cloud) Kill(t *testing.T) {
	t.Helper()
	_ = c.server.Process.Kill()
	_ = c.server.Wait() // killed: it says so
	c.server = nil
}

// URL is where the gateway connects.
func (c *Cloud) URL() string {
	_, port, _ := net.SplitHostPort(c.Addr)
	return "wss://" + net.JoinHostPort(c.Name, port) + "/v1/gateway"
}

// Read asks for the whole log, as an operator does.
func (c *Cloud) Read(ctx context.Context) (Log, error) {
	held := newLog()
	res, err := c.request(ctx, http.MethodGet, "/readings", "")
	if err != nil {
		return held, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return held, fmt.Errorf("readings: %s", res.Status)
	}
	return held, held.decode(json.NewDecoder(res.Body))
}

// Ask makes an operator's request about the gateway.
func (c *Cloud) Ask(ctx context.Context, method, path, body string) (status int, answer []byte, err error) {
	res, err := c.request(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// Fleet gives what the cloud says of its gateways, as JSON.
func (c *Cloud) Fleet(ctx context.Context) (string, error) {
	res, err := c.requestAt(ctx, http.MethodGet, "/v1/gateways", "")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

func (c *Cloud) request(ctx context.Context, method, path, body string) (*http.Response, error) {
	return c.requestAt(ctx, method, "/v1/gateways/"+c.Gateway+path, body)
}

func (c *Cloud) requestAt(ctx context.Context, method, path, body string) (*http.Response, error) {
	ca, err1 := os.ReadFile(filepath.Join(c.State, "ca.pem"))
	token, err2 := os.ReadFile(filepath.Join(c.State, "operator.token"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.Addr+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return client.Do(req)
}

func (h *Log) decode(lines *json.Decoder) error {
	for {
		var l logLine
		err := lines.Decode(&l)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.add(l)
	}
}

// Await reads the log again and again until it satisfies ok, and returns it with the time that took.
func (c *Cloud) Await(t *testing.T, what string, ok func(Log) bool) (Log, time.Duration) {
	t.Helper()
	start, deadline := time.Now(), time.After(Patience)
	for {
		held, err := c.Read(t.Context())
		if err == nil && ok(held) {
			return held, time.Since(start)
		}
		select {
		case <-deadline:
			text, _ := os.ReadFile(filepath.Join(c.State, "stderr"))
			t.Fatalf("the cloud: not seen: %s; %d readings held, error %v; its log:\n%s", what, len(held.Readings), err, text)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// AwaitAll waits until the log holds all these readings.
func (c *Cloud) AwaitAll(t *testing.T, rs []Reading) (Log, time.Duration) {
	t.Helper()
	return c.Await(t, fmt.Sprintf("%d readings", len(rs)), func(h Log) bool { return len(h.Lacks(rs)) == 0 })
}

// FreeAddr gives a loopback address on which nobody listens now, another one
// each time. Its port is none that the kernel gives to connections: a program
// that was killed finds it free when it starts again.
func FreeAddr(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if _, known := given.LoadOrStore(addr, true); known {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}

var given sync.Map // addresses of FreeAddr in this process
