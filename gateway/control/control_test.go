package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// A running server, with the conditions that it raises.
type running struct {
	path  string
	table *health.Table
	stop  func() // and waits
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// serve runs a server with the routes of these tests until the test ends.
func serve(t *testing.T, path string) running {
	t.Helper()
	r := running{path: path, table: health.New(quiet)}
	s := control.New(control.Options{Path: path, Routes: routes, Conditions: r.table, Log: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

type question struct{ Name string }

var routes = []control.Route{
	{Pattern: "GET /v1/one", Serve: func(_ context.Context, _ *control.Request, answer func(any) error) error { return answer(1) }},
	{Pattern: "POST /v1/echo", Serve: func(_ context.Context, r *control.Request, answer func(any) error) error {
		var q question
		if err := r.Decode(&q); err != nil {
			return err
		}
		return answer(q)
	}},
	{Pattern: "GET /v1/who", Serve: func(_ context.Context, r *control.Request, answer func(any) error) error {
		return answer(r.Caller)
	}},
	{Pattern: "GET /v1/stream", Serve: func(_ context.Context, _ *control.Request, answer func(any) error) error {
		return errors.Join(answer(1), answer(2), &control.Fault{Status: 500, Code: "torn", Message: "the rest is missing"})
	}},
	{Pattern: "GET /v1/failed", Serve: func(context.Context, *control.Request, func(any) error) error {
		return errors.New("the card is on fire")
	}},
	{Pattern: "GET /v1/wait", Serve: func(ctx context.Context, _ *control.Request, _ func(any) error) error {
		<-ctx.Done()
		return ctx.Err()
	}},
	{Pattern: "GET /v1/flood", Serve: func(_ context.Context, _ *control.Request, answer func(any) error) error {
		for {
			if err := answer(strings.Repeat("x", 1<<16)); err != nil {
				flooded <- err
				return err
			}
		}
	}},
}

var flooded = make(chan error, 1)

// socketPath gives a path that is short enough, whatever the name of the test.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

func ask(t *testing.T, path, pattern string, q any) (lines string, err error) {
	t.Helper()
	err = control.Client{Path: path}.Ask(t.Context(), pattern, q, func(line []byte) error {
		lines += string(line) + " "
		return nil
	})
	return strings.TrimSpace(lines), err
}

func TestAnswers(t *testing.T) {
	r := serve(t, socketPath(t))
	for _, c := range []struct {
		pattern string
		q       any
		lines   string
		code    string // of the fault; "": none
	}{
		{"GET /v1/one", nil, "1", ""},
		{"POST /v1/echo", question{"x"}, `{"Name":"x"}`, ""},
		{"POST /v1/echo", map[string]string{"Nome": "x"}, "", "bad_request"},
		{"POST /v1/echo", nil, "", "bad_request"},
		{"POST /v1/echo", question{strings.Repeat("x", 1<<17)}, "", "bad_request"},
		{"GET /v1/stream", nil, "1 2", "torn"},
		{"GET /v1/failed", nil, "", "failed"},
		{"GET /v1/none", nil, "", "unknown"},
	} {
		lines, err := ask(t, r.path, c.pattern, c.q)
		var f *control.Fault
		if errors.As(err, &f) != (c.code != "") || f != nil && f.Code != c.code || lines != c.lines || f == nil && err != nil {
			t.Errorf("%s: %q and %v, want %q and the fault %q", c.pattern, lines, err, c.lines, c.code)
		}
	}
	if _, err := ask(t, r.path, "GET /v1/none", nil); !strings.Contains(err.Error(), "restart") {
		t.Errorf("what an old daemon does not know: %v", err)
	}
}

func TestCaller(t *testing.T) {
	r := serve(t, socketPath(t))
	t.Setenv("SUDO_USER", "anna")
	who, err := control.Ask[control.Caller](t.Context(), control.Client{Path: r.path}, "GET /v1/who", nil)
	if err != nil || who.UID != uint32(os.Getuid()) || who.PID != int32(os.Getpid()) || who.Name != "anna" {
		t.Errorf("%+v, %v", who, err)
	}
	t.Setenv("SUDO_USER", strings.Repeat("a", 65))
	who, err = control.Ask[control.Caller](t.Context(), control.Client{Path: r.path}, "GET /v1/who", nil)
	if err != nil || who.Name != "" || who.String() != fmt.Sprintf("uid %d", os.Getuid()) {
		t.Errorf("%+v, %v", who, err)
	}
}

// The folder of a path that no address holds is opened first.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(filepath.Dir(socketPath(t)), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := serve(t, filepath.Join(dir, "control.sock"))
	if lines, err := ask(t, r.path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("%q, %v", lines, err)
	}
}

// Whatever the umask is, root, the user and its group may connect, nobody else.
func TestMode(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		old := syscall.Umask(mask)
		r := serve(t, socketPath(t))
		syscall.Umask(old)
		info, err := os.Stat(r.path)
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("with umask %03o: %v, %v", mask, info, err)
		}
		r.stop()
	}
}

// Root, the owner and the group get in, nobody else.
func TestWhoMayConnect(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can be somebody else")
	}
	r := serve(t, socketPath(t))
	if err := errors.Join(os.Chmod(filepath.Dir(r.path), 0o755), os.Chown(r.path, 4001, 4002)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid int
		in       bool
	}{{0, 0, true}, {4001, 4001, true}, {4003, 4002, true}, {4003, 4003, false}} {
		err := as(c.uid, c.gid, func() error {
			conn, err := net.Dial("unix", r.path)
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
		if c.in && err != nil || !c.in && !errors.Is(err, syscall.EACCES) {
			t.Errorf("user %d of group %d: %v", c.uid, c.gid, err)
		}
	}
}

// as runs f as another user. Only the thread is that; it ends with f.
func as(uid, gid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: nobody else gets this thread
		for _, c := range [][4]uintptr{{syscall.SYS_SETGROUPS}, {syscall.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)}} {
			if _, _, e := syscall.RawSyscall(c[0], c[1], c[2], c[3]); e != 0 {
				done <- e
				return
			}
		}
		done <- f()
	}()
	return <-done
}

func TestNobodyThere(t *testing.T) {
	path := socketPath(t)
	if _, err := ask(t, path, "GET /v1/one", nil); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	r := serve(t, path)
	r.stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a daemon that ended leaves its socket: %v", err)
	}
	leave(t, path)
	if _, err := ask(t, path, "GET /v1/one", nil); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("a socket of a dead daemon: %v", err)
	}
}

// leave makes a socket as a daemon that was killed leaves it.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(l.Close(), os.WriteFile(path+".lock", nil, 0o600), os.WriteFile(path+".new", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	leave(t, path)
	r := serve(t, path)
	if lines, err := ask(t, path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("%q, %v", lines, err)
	}
	if list := r.table.List(); len(list) != 0 {
		t.Errorf("conditions: %+v", list)
	}
}

// The second daemon says so, leaves the first alone, and goes on.
func TestSocketOfALivingDaemonIsNot(t *testing.T) {
	path := socketPath(t)
	first := serve(t, path)
	second := serve(t, path)
	await(t, "the condition of the second", func() bool { return len(second.table.List()) == 1 })
	c := second.table.List()[0]
	if c.Code != "control_down" || !strings.Contains(c.Sentence, "another fieldgate runs here") || !strings.Contains(c.Sentence, "--control") {
		t.Errorf("condition %+v", c)
	}
	if lines, err := ask(t, path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("the first: %q, %v", lines, err)
	}
	second.stop()
	if lines, err := ask(t, path, "GET /v1/one", nil); err != nil || lines != "1" {
		t.Errorf("the first, after the second has ended: %q, %v", lines, err)
	}
	if list := first.table.List(); len(list) != 0 {
		t.Errorf("conditions of the first: %+v", list)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}

// A file that is no socket, a folder that is not there: nothing is destroyed,
// nothing ends, and it is told.
func TestPathThatCannotBe(t *testing.T) {
	file := socketPath(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(filepath.Dir(file), "none", "control.sock")} {
		r := serve(t, path)
		await(t, "the condition for "+path, func() bool { return len(r.table.List()) == 1 })
		r.stop()
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestWithoutAPathItOnlyWaits(t *testing.T) {
	r := serve(t, "")
	r.stop()
	if list := r.table.List(); len(list) != 0 {
		t.Errorf("conditions: %+v", list)
	}
}

func TestFaultInJSON(t *testing.T) {
	text, err := json.Marshal(&control.Fault{Status: 404, Code: "a", Message: "b"})
	if err != nil || string(text) != `{"code":"a","message":"b"}` {
		t.Errorf("%s, %v", text, err)
	}
}
