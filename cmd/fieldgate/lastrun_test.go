package main

import (
	"bufio"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// After a kill the journal says in one line how the run before ended and what
// that cost; after a stop in order it says nothing of the kind.
func TestLastRunIsTold(t *testing.T) {
	t.Parallel()
	config, addr, _ := logging(t)
	told := regexp.MustCompile(
		`WARN +the last run ended without order, .*; at most \d+ readings are lost, in the gap that begins at reading \d+ of epoch [0-9a-f]{32}$`)
	for i, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM} {
		cmd := program(t, "run", "--config", config)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = w
		startReady(t, cmd)
		w.Close()
		text := readUntil(t, bufio.NewScanner(r), "gateway is running")
		n := 0
		for line := range strings.Lines(text) {
			if told.MatchString(strings.TrimSpace(line)) {
				n++
			}
		}
		if want := map[int]int{1: 1}[i]; n != want || strings.Count(text, "the last run") != want {
			t.Errorf("start %d says it %d times, want %d:\n%s", i+1, n, want, text)
		}
		e2e.Watch(t, addr).Await(t, "readings", 0, func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) > 3 })
		_ = cmd.Process.Signal(end)
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait()
	}
}
