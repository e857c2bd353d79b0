package sample

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever a visit's due time and length: the next one is due after now, on
// the plan, within one interval, and with those left out it is all of them.
func TestVisitsStayOnPlan(t *testing.T) {
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(24*time.Hour)).Draw(t, "interval"))
		p := plan{start: start, interval: interval, phase: time.Duration(rapid.Int64Range(0, int64(interval)-1).Draw(t, "phase"))}
		k := rapid.Int64Range(0, 1000).Draw(t, "k")
		due := start.Add(p.phase + time.Duration(k)*interval)
		late := time.Duration(rapid.Int64Range(0, int64(100*interval)).Draw(t, "late"))
		now := due.Add(late)
		next, skipped := p.after(due, now)
		if !next.After(now) || next.Sub(now) > interval {
			t.Fatalf("due at %v, visited at %v, next at %v", due, now, next)
		}
		if off := next.Sub(start) - p.phase; off%interval != 0 {
			t.Fatalf("next is %v off the plan", off%interval)
		}
		if want := uint64(next.Sub(due)/interval) - 1; skipped != want {
			t.Fatalf("%d skipped, want %d", skipped, want)
		}
	})
}
