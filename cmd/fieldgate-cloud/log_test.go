package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// unread starts a server whose log goes to w, and waits until it is ready.
func unread(t *testing.T, w *os.File) *process {
	t.Helper()
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	manager, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	p := &process{t: t, state: t.TempDir(), addr: e2e.FreeAddr(t)}
	p.cmd = exec.Command(os.Args[0], "run", "--state", p.state, "--listen", p.addr, "--log-level", "debug")
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "NOTIFY_SOCKET="+at.Name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	_ = manager.SetReadDeadline(time.Now().Add(answerWithin)) // a failure, not a hang
	buf := make([]byte, 4096)
	n, err := manager.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "READY=1") {
		t.Fatalf("the server is not ready: %q, %v", buf[:n], err)
	}
	return p
}

// lostLines reads from /metrics how many lines of the log were lost.
func lostLines(t *testing.T, p *process) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(p.state, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	answer := p.get("/metrics", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}})
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "fieldgate_cloud_log_lines_lost_total "); ok {
			return n
		}
	}
	return "none"
}

// endsInOrder ends the server.
func endsInOrder(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*answerWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the server did not end in order: %v", err)
	}
}

// Who reads the log stands still: the server serves, and ends when told to.
func TestLogReaderStandsStill(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	size, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	if err == nil {
		_, err = w.Write(make([]byte, size))
	}
	if err != nil {
		t.Fatal(err)
	}
	p := unread(t, w)
	if n := lostLines(t, p); n != "0" {
		t.Errorf("%s lines are counted as lost, want 0: they wait", n)
	}
	endsInOrder(t, p)
}

// Who reads the log is gone: the server lives on.
func TestLogReaderGone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	p := unread(t, w)
	w.Close()
	if n := lostLines(t, p); n == "0" || n == "none" {
		t.Errorf("%s lines are counted as lost", n)
	}
	endsInOrder(t, p)
}

// A reader of a tool's output that has read enough ends the tool without a
// word.
func TestOutputReaderGone(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	add(t, state, "plant-7")
	for _, args := range [][]string{
		{"gateway", "list", "--state", state}, {"gateway", "list", "--json", "--state", state}, {"version"}, {"--help"}, {"run", "--help"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var errs strings.Builder
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.Stdout, cmd.Stderr = w, &errs
		_ = cmd.Run() // the exit code says it
		w.Close()
		if code := cmd.ProcessState.ExitCode(); code != 141 || errs.String() != "" {
			t.Errorf("%v: exit %d, %q", args, code, errs.String())
		}
	}
}
