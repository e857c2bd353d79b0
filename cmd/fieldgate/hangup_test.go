package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// The terminal of a demo is closed: the demo ends in order, and its ports are
// free again. (That a SIGHUP alone ends nothing is in TestDemo.)
func TestDemoEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	cloud, err := cloudProgramPath()
	if err != nil {
		t.Fatal(err)
	}
	window, terminal := openTerminal(t)
	addr, cloudAddr, state := e2e.FreeAddr(t), e2e.FreeAddr(t), t.TempDir()
	demo := program(t, "demo", "--listen", addr, "--cloud-listen", cloudAddr, "--state", state)
	demo.Env = append(demo.Env, "PATH="+filepath.Dir(cloud)+":"+os.Getenv("PATH"))
	demo.Stdin, demo.Stdout, demo.Stderr = terminal, terminal, terminal
	demo.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGTERM}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	readUntil(t, bufio.NewScanner(window), "Ctrl-C")
	window.Close()
	err = demo.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("the demo was killed: %v", err)
	}
	for _, at := range []string{addr, cloudAddr} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Errorf("a port is still taken: %v", err)
			continue
		}
		l.Close()
	}
	if code, out, _ := outcome(t, "buffer", "stats", "--dir", filepath.Join(state, "gateway")); code != 0 {
		t.Errorf("the store of the demo: exit code %d\n%s", code, out)
	}
}

// openTerminal gives a pseudo terminal: the window's end and the program's.
func openTerminal(t *testing.T) (window io.ReadCloser, terminal *os.File) {
	t.Helper()
	w, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		e2e.Skip(t, fmt.Sprintf("no pseudo terminals here: %v", err))
	}
	t.Cleanup(func() { w.Close() })
	if err := unix.IoctlSetPointerInt(int(w.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(w.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return w, terminal
}
