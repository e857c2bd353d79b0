package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/store"
)

// verifyCommand is what the daemon runs on state.db before it opens the file
// itself.
type verifyCommand struct {
	Path string `arg:"" help:"A state.db."`
}

// Run looks at the file. A fault ends this process and no other. A file that
// cannot be read now is not judged: the daemon meets that itself.
func (v verifyCommand) Run(cli.Console) error {
	err := store.CheckState(v.Path)
	if !store.IsDamage(err) {
		return nil
	}
	return err
}

// verifyTime is how long the look may take; a sound file of 16 MiB takes far
// less than a second.
const verifyTime = 10 * time.Second

// fault tells the signals that a process gets for what it reads.
func fault(s syscall.Signal) bool {
	return s == syscall.SIGSEGV || s == syscall.SIGBUS || s == syscall.SIGABRT || s == syscall.SIGILL || s == syscall.SIGFPE
}

// starved tells whether Go's runtime ended a process for want of memory or
// threads.
func starved(said []byte) bool {
	for _, text := range []string{"out of memory", "cannot allocate memory", "failed to create new OS thread", "failed to reserve"} {
		if bytes.Contains(said, []byte(text)) {
			return true
		}
	}
	return false
}

// verifyState has another process look at a state.db. If none can be started
// or it takes too long, nobody looks: the store has its own guard.
func verifyState(path string) error {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), verifyTime)
	defer cancel()
	said, err := exec.CommandContext(ctx, self, "verify-state", path).CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &exit) {
		return nil
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && !fault(status.Signal()) || starved(said) {
		return nil // somebody, or the kernel for want of memory, ended it
	}
	if !exit.Exited() {
		return fmt.Errorf("verify %s: the process that read it died: %w", path, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	return fmt.Errorf("verify: %s", strings.TrimPrefix(first, "fieldgate: "))
}
