package main

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answerWithin bounds every wait; it only ends tests that fail.
const answerWithin = 3 * time.Minute

// A process is a running fieldgate-cloud.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	state string
	addr  string
	lines []string // its log; complete after wait
	ended chan struct{}
}

func start(t *testing.T, state string, args ...string) *process {
	t.Helper()
	return launch(t, state, exec.Command(os.Args[0]), args...)
}

// launch starts the program with a command that lacks its arguments. When the
// test ends, so does the program.
func launch(t *testing.T, state string, cmd *exec.Cmd, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, state: state, ended: make(chan struct{})}
	p.cmd.Args = append(p.cmd.Args, append([]string{"run", "--state", state, "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		defer close(listening)
		re := regexp.MustCompile(`listening on ([0-9.:]+)`)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			p.lines = append(p.lines, sc.Text())
			if m := re.FindStringSubmatch(sc.Text()); m != nil {
				listening <- m[1]
			}
		}
	}()
	t.Cleanup(p.finish)
	select {
	case p.addr = <-listening:
	case <-time.After(answerWithin):
	}
	if p.addr == "" {
		t.Fatal("it did not start")
	}
	return p
}

// finish ends the program, if it still runs. If the test has failed, it first
// tells what all its goroutines are at: it may be they that were waited for.
func (p *process) finish() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a test may have stopped it
	if p.t.Failed() && p.cmd.Process.Signal(syscall.SIGQUIT) == nil {
		select {
		case <-p.ended:
		case <-time.After(answerWithin):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	if p.t.Failed() {
		p.t.Logf("the log of %s, and what it was doing:\n%s", p.addr, strings.Join(p.lines, "\n"))
	}
	_ = p.cmd.Wait() // it has been waited for, most often
}

// end sends a signal and gives the exit code.
func (p *process) end(sig syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(answerWithin):
		p.t.Fatalf("it does not end after %v", sig)
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}
