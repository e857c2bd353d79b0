package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/files"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A state directory in RAM is told at the start and in /metrics; another one is
// not.
func TestStateThatLiesInRAM(t *testing.T) {
	t.Parallel()
	shm, err := os.MkdirTemp("/dev/shm", "fieldgate-cloud-")
	if err != nil {
		e2e.Skip(t, fmt.Sprintf("no file system in RAM here: %v", err))
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	for state, volatile := range map[string]bool{shm: true, t.TempDir(): false} {
		if keeping, why := files.Where(state); (keeping == files.Volatile) != volatile {
			t.Logf("%s: %s", state, why)
			continue // another kind of machine
		}
		p := start(t, state)
		figures := p.asOperator("/metrics")
		if code := p.end(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
		said := strings.Join(p.lines, "\n")
		if strings.Contains(said, "the state directory is volatile") != volatile ||
			strings.Contains(figures, "fieldgate_cloud_state_volatile 1\n") != volatile {
			t.Errorf("%s, in RAM %v, says:\n%s", state, volatile, said)
		}
		if !strings.Contains(figures, "fieldgate_cloud_state_volatile ") {
			t.Error("there is no figure of it")
		}
	}
}
