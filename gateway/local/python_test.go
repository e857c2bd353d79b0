package local

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The example of Debian's python3-websocket, as people copy it; only the
// address is put in.
const pythonClient = `import websocket, json
def on_message(ws, message): print("Received:", message)
ws = websocket.WebSocketApp("ws://localhost:8080", on_message=on_message)
ws.run_forever()
`

// skip ends a test that lacks a tool, which in CI is a failure.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED: " + reason)
}

func TestPythonExampleGetsUpdates(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import websocket").Run(); err != nil {
		skip(t, python+" with the module websocket is missing: apt-get install python3-websocket")
	}
	o, _ := options()
	_, addr := start(t, o)
	publish(o.Hub, 1, 20.5)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-u", "-c", strings.Replace(pythonClient, "8080", port, 1))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: it says so
	}()
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{`{"type":"status",`, updateOf(20.5), updateOf(21.25)} {
		if !scanTo(lines, "Received: "+want) {
			t.Fatalf("the client ended without printing %q", want)
		}
		publish(o.Hub, 2, 21.25)
	}
}

// updateOf is how an update of the boiler begins.
func updateOf(value float64) string {
	return fmt.Sprintf(`{"type":"update","device_id":"boiler","quantity":"temperature","value":%v,"unit":"Cel",`, value)
}

func scanTo(lines *bufio.Scanner, prefix string) bool {
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), prefix) {
			return true
		}
	}
	return false
}
