package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

//go:embed interop
var interopClients embed.FS

// InteropLibraries are WebSocket libraries that others use.
func InteropLibraries() []string {
	return []string{"ws", "websockets", "websocket-client", "coder"}
}

// An InteropClient is a client made with one of these libraries.
type InteropClient struct {
	ask func(text string) (string, error)
	end func() error // closes in order
}

// An InteropTarget is where a client connects to.
type InteropTarget struct {
	URL   string
	CA    string // file of the certificate authority
	Token string // "": no subprotocol, no credential, no TLS
}

// NewInteropClient connects a client of a library.
func NewInteropClient(t *testing.T, library string, target InteropTarget) *InteropClient {
	t.Helper()
	args := []string{target.URL}
	if target.Token != "" {
		args = append(args, target.CA, target.Token)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, interopClients); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "interop")
	switch library {
	case "ws":
		install(t, dir)
		return process(t, "node", append([]string{filepath.Join(dir, "client.mjs")}, args...)...)
	case "websockets":
		Need(t, "websockets", "python3-websockets")
		return process(t, Python, append([]string{filepath.Join(dir, "websockets_client.py")}, args...)...)
	case "websocket-client":
		Need(t, "websocket", "python3-websocket")
		return process(t, Python, append([]string{filepath.Join(dir, "websocket_client.py")}, args...)...)
	}
	return coder(t, target)
}

// install gets the library that package-lock.json names.
func install(t *testing.T, dir string) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			Skip(t, tool+" is missing: apt-get install npm")
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		Skip(t, fmt.Sprintf("npm cannot get the library ws here: %v\n%s", err, out))
	}
}

// process runs a client that answers each line with a line.
func process(t *testing.T, name string, args ...string) *InteropClient {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
	end := sync.OnceValue(func() error {
		defer late.Stop()
		_ = in.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = end() })
	lines := bufio.NewReader(out)
	return &InteropClient{end: end, ask: func(text string) (string, error) {
		if _, err := io.WriteString(in, text+"\n"); err != nil {
			return "", err
		}
		return lines.ReadString('\n')
	}}
}

// coder is a client made with github.com/coder/websocket.
func coder(t *testing.T, target InteropTarget) *InteropClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	options := &websocket.DialOptions{}
	if target.Token != "" {
		ca, err := os.ReadFile(target.CA)
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(ca)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
		t.Cleanup(transport.CloseIdleConnections)
		options.HTTPClient = &http.Client{Transport: transport}
		options.HTTPHeader = http.Header{"Authorization": {"Bearer " + target.Token}}
		options.Subprotocols = []string{"fieldgate.v1.json"}
	}
	conn, _, err := websocket.Dial(ctx, target.URL, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &InteropClient{
		ask: func(text string) (string, error) {
			if text != "" {
				if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
					return "", err
				}
			}
			_, b, err := conn.Read(ctx)
			return string(b), err
		},
		end: func() error { return conn.Close(websocket.StatusNormalClosure, "") },
	}
}

// Ask says something, if it is not empty, and gives the next message.
func (c *InteropClient) Ask(t *testing.T, text string) string {
	t.Helper()
	answer, err := c.ask(text)
	if err != nil {
		t.Fatalf("said %s, heard %q: %v", text, answer, err)
	}
	return answer
}

// End closes the connection in order.
func (c *InteropClient) End(t *testing.T) {
	t.Helper()
	if err := c.end(); err != nil {
		t.Errorf("the client did not end in order: %v", err)
	}
}
