package systemd_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/systemd"
)

// manager stands where the service manager does: at the other end of a real NOTIFY_SOCKET.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	return conn
}

func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // a failure, not a hang
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifyMessages(t *testing.T) {
	conn := manager(t)
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"ready", func() error { return systemd.Ready("3 devices") }, "READY=1\nSTATUS=3 devices"},
		// The socket must still be known after READY: the environment is kept.
		{"status", func() error { systemd.Status("2/3 devices, uplink down"); return nil }, "STATUS=2/3 devices, uplink down"},
		{"no second assignment", func() error { systemd.Status("a\nMAINPID=1"); return nil }, "STATUS=a MAINPID=1"},
		{"alive", func() error { systemd.Alive(); return nil }, "WATCHDOG=1"},
		{"stopping", func() error { systemd.Stopping(); return nil }, "STOPPING=1"},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := heard(t, conn); got != step.want {
			t.Errorf("%s: the manager heard %q, want %q", step.name, got, step.want)
		}
	}
}

func TestReadyWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := systemd.Ready("alone"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
}

func TestReadyNotHeard(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := systemd.Ready("x"); err == nil {
		t.Error("a READY that nobody received was reported as sent")
	}
}
