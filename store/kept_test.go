package store_test

import (
	"testing"
	"time"
)

// What Keep notes is found by the next opening, and causes no write of its own.
func TestKeptNoteOutlivesARestart(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		b.append(5)
		b.sleep(time.Minute)
		before := b.s.Stats().Commits
		for range 100 {
			b.s.Keep([]byte("bytes of today"))
			b.sleep(time.Minute)
		}
		if n := b.s.Stats().Commits - before; n != 0 {
			t.Errorf("%d commits", n)
		}
		b.s.Keep(make([]byte, 5000)) // too much
		b.close()
		b.open()
		if got := string(b.s.Kept()); got != "bytes of today" {
			t.Errorf("kept %q", got)
		}
	})
}
