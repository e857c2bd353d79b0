package e2e

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Lateness measures this machine until it is asked, again and again: it sleeps
// 10 ms and writes 4 KiB to the disk with fsync. It gives by how much the worst
// turn was longer than the sleep. A test that holds programs to a time on a
// real clock allows as much for each program on the way: a busy machine is no
// fault of theirs.
func Lateness(t *testing.T) (most func() time.Duration) {
	t.Helper()
	const nap = 10 * time.Millisecond
	f, err := os.Create(filepath.Join(t.TempDir(), "lateness"))
	if err != nil {
		t.Fatal(err)
	}
	asked, told := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		defer f.Close()
		late, page := time.Duration(0), make([]byte, 4096)
		for {
			began := time.Now()
			select {
			case <-asked:
				told <- late
				return
			case <-time.After(nap):
			}
			_, err1 := f.WriteAt(page, 0)
			if err2 := f.Sync(); err1 != nil || err2 != nil {
				t.Errorf("measure the machine: %v, %v", err1, err2)
			}
			late = max(late, time.Since(began)-nap)
		}
	}()
	most = sync.OnceValue(func() time.Duration { close(asked); return <-told })
	t.Cleanup(func() { most() })
	return most
}
