package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/store"
)

// verifyCommand is what the daemon runs on state.db before it opens the file
// itself.
type verifyCommand struct {
	Path string `arg:"" help:"A state.db."`
}

// Run looks at the file. A fault ends this process and no other.
func (v verifyCommand) Run(console) error { return store.CheckState(v.Path) }

// verifyTime is how long the look may take; a sound file of 16 MiB takes far
// less than a second.
const verifyTime = 10 * time.Second

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
	if !exit.Exited() {
		return fmt.Errorf("verify %s: the process that read it died: %w", path, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	return fmt.Errorf("verify: %s", strings.TrimPrefix(first, "fieldgate: "))
}
