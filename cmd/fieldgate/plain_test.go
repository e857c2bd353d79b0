package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// plainServer is the five-line server that many start with, in Node.js with ws.
const plainServer = `
const WebSocket = require('ws');
const wss = new WebSocket.Server({ port: Number(process.argv[2]), host: '127.0.0.1' });
wss.on('listening', () => console.log('listening'));
wss.on('connection', ws => {
  ws.on('message', m => console.log('Received: ' + m));
  ws.send(JSON.stringify({ type: 'welcome', message: 'Connected to IoT server' }));
});
`

// A plain server in Node.js gets every reading that is seen on site, each as
// one object; on site it is said that nobody acknowledges them. Without the
// setting the same server is refused, and everything is kept.
func TestPlainNodeServer(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if _, err2 := os.Stat("/usr/share/nodejs/ws"); err != nil || err2 != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Node.js and Debian's node-ws must be there: %v, %v", err, err2)
		}
		t.Skip("SKIPPED: needs Node.js and Debian's package node-ws")
	}
	dir := t.TempDir()
	at, local := e2e.FreeAddr(t), e2e.FreeAddr(t)
	_, port, _ := net.SplitHostPort(at)
	server := exec.Command(node, write(t, filepath.Join(dir, "server.js"), plainServer), port)
	server.Env = append(os.Environ(), "NODE_PATH=/usr/share/nodejs")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "listening" {
		t.Fatalf("the server says %q", lines.Text())
	}
	st := &testGateway{log: filepath.Join(dir, "log"), program: program}
	st.config = write(t, filepath.Join(dir, "fieldgate.toml"), fmt.Sprintf("version = 1\n[gateway]\nid = \"plant-7\"\n"+
		"[uplink]\nurl = \"ws://%s\"\nunacknowledged = true\n[store]\ndir = %q\n[local]\nlisten = %q\nview = \"open\"\n"+
		"[[device]]\nid = \"boiler\"\ndriver = \"lm75\"\nbus = \"sim-1\"\naddress = 0x48\ninterval = \"50ms\"\n",
		at, filepath.Join(dir, "state"), local))
	st.start(t)
	screen := e2e.Watch(t, local)
	screen.Await(t, "what the status says of it", 0, func(_ []e2e.Reading, s e2e.Status) bool {
		for _, c := range s.Health {
			if c.Code == "uplink_unproved" && strings.Contains(c.Sentence, "acknowledges nothing") {
				return s.Uplink.State == "online"
			}
		}
		return false
	})
	seen := map[uint64]bool{}
	for last := uint64(0); last < 50 && lines.Scan(); {
		var m struct {
			Type, Quantity, Timestamp, Unit string
			Device                          string `json:"device_id"`
			Value                           *float64
			Seq                             uint64
		}
		text := strings.TrimPrefix(lines.Text(), "Received: ")
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Type != "update" || m.Device != "boiler" ||
			m.Quantity != "temperature" || m.Value == nil || m.Timestamp == "" {
			t.Fatalf("the server received %s (%v)", text, err)
		}
		if m.Seq != last+1 || seen[m.Seq] {
			t.Fatalf("reading %d came behind %d", m.Seq, last)
		}
		last, seen[m.Seq] = m.Seq, true
	}
	if len(seen) < 50 {
		t.Errorf("the server received %d readings", len(seen))
	}
	st.end(t, syscall.SIGTERM)
}
