package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program is one process of a host. Its log goes to a file that is on none
// of the cards.
type program struct {
	cmd   *exec.Cmd
	began time.Time
	ended chan struct{} // closed when the process has gone
	log   string
	from  int64 // where its lines begin in the log
}

// launch starts a program on a host that has booted as bootFile says.
func launch(log, bootFile string, command ...string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	from, err := out.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{hostWord, bootFile}, command...)...)
	p := &program{cmd: cmd, ended: make(chan struct{}), log: log, from: from}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWNS}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// hostWord is the argument with which this program becomes one of a host.
const hostWord = "on-host"

// becomeHost gives the process the boot id of its host, and its time since boot
// (a time namespace), and runs the program in its place.
func becomeHost(args []string) error {
	runtime.LockOSThread()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts one-way: %w", err)
	}
	if err := unix.Mount(args[0], "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("give the host its boot id: %w", err)
	}
	shift, err := os.ReadFile(args[0] + shiftWord)
	if err != nil {
		return err
	}
	const unshare = "/usr/bin/unshare"
	return unix.Exec(unshare, append([]string{unshare, "--time", "--boottime", string(shift), "--"}, args[1:]...), os.Environ())
}

// shiftWord ends the name of the file that says how far BOOTTIME of a host is
// before that of this machine, in seconds.
const shiftWord = ".shift"

// boot writes a new boot id, and that the host boots now: what is stamped 0 comes after the power cut before it. A
// gateway concludes from that how long its last run can have gone on.
func boot(file string) error {
	id, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	time.Sleep(time.Second - time.Duration(now.Nsec)) // a time namespace of unshare begins at a whole second
	shift := fmt.Sprint(-now.Sec - 1)
	return errors.Join(os.WriteFile(file, id, 0o644), os.WriteFile(file+shiftWord, []byte(shift), 0o644))
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *program) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// wait waits for the end, so long.
func (p *program) wait(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// code is the exit code; -1 after a signal.
func (p *program) code() int { return p.cmd.ProcessState.ExitCode() }

// told gives the last lines of its log.
func (p *program) told() string {
	text, err := os.ReadFile(p.log)
	if err != nil || int64(len(text)) < p.from {
		return fmt.Sprint(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text[p.from:])), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// stop ends a program in order, and kills it if it does not end within d.
func (p *program) stop(d time.Duration) error {
	p.signal(syscall.SIGTERM)
	if p.wait(d) {
		return nil
	}
	p.signal(syscall.SIGKILL)
	if p.wait(30 * time.Second) {
		return errors.New("killed: it did not stop")
	}
	return errors.New("it does not even die")
}

func absolute(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return path, unix.Access(path, unix.X_OK)
}
