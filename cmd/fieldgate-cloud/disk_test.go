package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestDiskFull lets something else fill the disk under the log. What the
// server cannot store it does not acknowledge; it ends, says why, and has
// everything when it is started again with room.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a small file system can be mounted by root only; TestDiskThatFails meets a write error without it")
	}
	state := t.TempDir()
	token := add(t, state, "g")
	disk := filepath.Join(state, "log")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=32m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	p := start(t, state)
	e := gateway.NewEpochID()
	conn, w := p.open(token, "g", e)
	say(t, conn, five(t, e, 1))
	if _, err := ackedBy(conn, 5); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	acked := uint64(5)
	told := false
	for next := uint64(6); !told; next += 5 {
		say(t, conn, five(t, e, next))
		m, err := hear(conn)
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := m.(*wire.Ack); ok {
			if len(a.Epochs) > 0 {
				acked = a.Epochs[0].Upto
			}
			told = a.Why == "storage"
		}
	}
	if err := hearEnd(conn); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("the gateway got %v", err)
	}
	<-p.ended
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(strings.Join(p.lines, "\n"), "must be opened anew") {
		t.Errorf("ended with %d: %s", code, p.lines)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	p = start(t, state)
	conn, w = p.open(token, "g", e)
	if w.Epochs[0].Upto < acked {
		t.Errorf("the cloud has %d, %d were acknowledged", w.Epochs[0].Upto, acked)
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
