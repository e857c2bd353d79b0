package main

import (
	"fmt"
	"io"
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

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// fullPipe gives the two ends of a pipe that takes nothing more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
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
	return r, w
}

// startReady starts a program under a service manager and waits until it is
// ready.
func startReady(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	manager, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+at.Name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_ = manager.SetReadDeadline(time.Now().Add(time.Minute)) // a failure, not a hang
	for buf := make([]byte, 4096); ; {
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("the program is not ready: %v", err)
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			return
		}
	}
}

// logging is a gateway that has something to log: nobody answers at its cloud.
func logging(t *testing.T) (config, addr, state string) {
	t.Helper()
	dir := t.TempDir()
	addr, state = e2e.FreeAddr(t), filepath.Join(dir, "state")
	token := write(t, filepath.Join(dir, "token"), "fg1_p_0123456789abcdef0123456789abcdef\n")
	return write(t, filepath.Join(dir, "fieldgate.toml"),
		fmt.Sprintf("version = 1\n[gateway]\nid = \"p\"\n[uplink]\nurl = \"wss://%s/v1/gateway\"\ntoken_file = %q\n"+
			"[store]\ndir = %q\nmin_free = \"1MiB\"\n[local]\nlisten = %q\nview = \"open\"\n"+
			"[[device]]\nid = \"boiler\"\ndriver = \"lm75\"\nbus = \"sim-1\"\naddress = 0x48\ninterval = \"50ms\"\n",
			e2e.FreeAddr(t), token, state, addr)), addr, state
}

// awaitLogged waits until the uplink has told that nobody answers.
func awaitLogged(t *testing.T, addr string) {
	t.Helper()
	e2e.Watch(t, addr).Await(t, "an uplink that failed", 0, func(rs []e2e.Reading, s e2e.Status) bool {
		return s.Uplink.State == "waiting" && len(rs) > 0 && len(s.Health) > 0
	})
}

func body(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Who reads the log stands still: the gateway samples, tries the cloud,
// answers, and ends when it is told to.
func TestLogReaderStandsStill(t *testing.T) {
	t.Parallel()
	config, addr, state := logging(t)
	_, w := fullPipe(t)
	cmd := program(t, "run", "--config", config)
	cmd.Stderr = w
	startReady(t, cmd)
	awaitLogged(t, addr)
	if text := body(t, "http://"+addr+"/metrics"); !strings.Contains(text, "fieldgate_log_lines_lost_total 0\n") {
		t.Errorf("the lines that nobody read are not counted:\n%s", text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway did not end in order: %v", err)
	}
	if _, out, _ := outcome(t, "buffer", "stats", "--dir", state); !strings.Contains(out, " closed\n") {
		t.Errorf("of the store it is said:\n%s", out)
	}
}

// Who reads the log is gone: the gateway lives on, and its end is no power cut.
func TestLogReaderGone(t *testing.T) {
	t.Parallel()
	config, addr, state := logging(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "run", "--config", config)
	cmd.Stderr = w
	r.Close()
	startReady(t, cmd)
	w.Close()
	awaitLogged(t, addr)
	if text := body(t, "http://"+addr+"/metrics"); strings.Contains(text, "fieldgate_log_lines_lost_total 0\n") ||
		!strings.Contains(text, "fieldgate_log_lines_lost_total ") {
		t.Errorf("the lines that nobody read are not counted:\n%s", text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway did not end in order: %v", err)
	}
	if _, out, _ := outcome(t, "buffer", "stats", "--dir", state); !strings.Contains(out, " closed\n") {
		t.Errorf("of the store it is said:\n%s", out)
	}
}

// A reader of a tool's output that has read enough ends the tool without a
// word; an output that cannot be written is told.
func TestOutputThatNobodyTakes(t *testing.T) {
	t.Parallel()
	config, addr, state := logging(t)
	cmd := program(t, "run", "--config", config)
	startReady(t, cmd)
	awaitLogged(t, addr)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{
		{"buffer", "export", "--dir", state}, {"buffer", "stats", "--dir", state}, {"buffer", "stats", "--json", "--dir", state},
		{"buffer", "verify", "--dir", state}, {"buffer", "repair", "--dir", state}, {"check", config}, {"version"}, {"--help"}, {"run", "--help"},
	} {
		gone, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		gone.Close()
		var errs strings.Builder
		cmd := program(t, args...)
		cmd.Stdout, cmd.Stderr = w, &errs
		_ = cmd.Run() // the exit code says it
		w.Close()
		if code := cmd.ProcessState.ExitCode(); code != 141 || errs.String() != "" {
			t.Errorf("%v, its reader gone: exit %d, %q", args, code, errs.String())
		}
		errs.Reset()
		cmd = program(t, args...)
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != cli.ExitFailed || !strings.Contains(errs.String(), "no space left") ||
			strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v, onto a full disk: exit %d, %q", args, code, errs.String())
		}
	}
}

// Nobody reads a tool's output: it ends when it is told to.
func TestOutputReaderStandsStill(t *testing.T) {
	_, w := fullPipe(t)
	cmd := program(t, "version")
	cmd.Stdout = w
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitBlocked(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(errs)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != cli.ExitFailed || !strings.Contains(string(text), "nobody reads on") {
		t.Errorf("exit %d, %q", code, text)
	}
}

// awaitBlocked waits until a thread of the process waits for room in a pipe.
func awaitBlocked(t *testing.T, pid int) {
	t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		for _, thread := range threads {
			text, _ := os.ReadFile(thread)
			if strings.HasPrefix(string(text), fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE)) {
				return
			}
		}
	}
	t.Fatal("the program does not write")
}
