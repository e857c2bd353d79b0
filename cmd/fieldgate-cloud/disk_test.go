package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestDiskFull lets something else fill the disk under the state. What the
// server cannot store it does not acknowledge, and says why; it stays up and is
// read, also when it is started again, and takes readings when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("a small file system can be mounted by root only")
	}
	state := t.TempDir()
	if err := syscall.Mount("none", state, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	token := add(t, state, "g")
	p := start(t, state)
	e := gateway.NewEpochID()
	conn, _ := p.open(token, "g", e)
	say(t, conn, five(t, e, 1))
	if _, err := ackedBy(conn, 5); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(state, "ballast")
	fill(t, ballast)
	say(t, conn, five(t, e, 6))
	for told := false; !told; {
		m, err := hear(conn)
		if err != nil {
			t.Fatal(err)
		}
		a, ok := m.(*wire.Ack)
		told = ok && a.Why == "storage"
	}
	p.wantNoRoom(5)
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("ended with %d: %s", code, p.lines)
	}
	p = start(t, state) // and the disk is full from the beginning
	p.wantNoRoom(5)
	d := websocket.Dialer{TLSClientConfig: p.trust(), Subprotocols: []string{wire.SubprotocolCBOR}, HandshakeTimeout: answerWithin}
	conn, _, err := d.DialContext(t.Context(), "wss://"+p.addr+"/v1/gateway", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, &wire.Hello{GatewayID: "g", All: true, Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}}})
	if err := hearEnd(conn); !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
		t.Errorf("a gateway that comes gets %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	conn, w := p.open(token, "g", e)
	if w.Epochs[0].Upto < 5 {
		t.Errorf("the cloud has %d, 5 were acknowledged", w.Epochs[0].Upto)
	}
	next := w.Epochs[0].Upto + 1
	say(t, conn, five(t, e, next))
	if _, err := ackedBy(conn, next+4); err != nil {
		t.Error(err)
	}
	p.wantSeqs(next + 4)
	_ = conn.Close()
	p.end(syscall.SIGTERM)
}

// wantNoRoom wants the server to say that its disk is full, and to give what
// it has.
func (p *process) wantNoRoom(upto uint64) {
	p.t.Helper()
	resp := p.get("/readyz", nil)
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "KiB left") {
		p.t.Errorf("/readyz says %s %s, %v", resp.Status, text, err)
	}
	p.wantSeqs(upto)
	p.asOperator("/v1/gateways/g/completeness")
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 4096); err == nil; {
		_, err = f.Write(b)
	}
	if !strings.Contains(err.Error(), "no space") {
		t.Fatal(err)
	}
}

// TestLogLost takes the whole log away while the gateway has its data: it
// sends it again, and it is there once.
func TestLogLost(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "g")
	e := gateway.NewEpochID()
	p := start(t, state)
	conn, _ := p.open(token, "g", e)
	for first := uint64(1); first < 50; first += 5 {
		say(t, conn, five(t, e, first))
		if _, err := ackedBy(conn, first+4); err != nil {
			t.Fatal(err)
		}
	}
	_ = conn.Close()
	p.end(syscall.SIGKILL)
	streams, err := filepath.Glob(filepath.Join(state, "log", "jetstream", "*", "streams", "FG_RAW"))
	if err != nil || len(streams) != 1 {
		t.Fatal(streams, err)
	}
	if err := os.RemoveAll(streams[0]); err != nil {
		t.Fatal(err)
	}
	p = start(t, state)
	conn, w := p.open(token, "g", e)
	if w.Epochs[0].Upto != 0 {
		t.Fatalf("the cloud has %d of a lost log", w.Epochs[0].Upto)
	}
	for first := uint64(1); first < 60; first += 5 {
		say(t, conn, five(t, e, first))
		if _, err := ackedBy(conn, first+4); err != nil {
			t.Fatal(err)
		}
	}
	p.wantSeqs(60)
	_ = conn.Close()
	p.end(syscall.SIGTERM)
}
