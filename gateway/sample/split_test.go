package sample_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A slowChip measures for a while.
type slowChip struct {
	*chip
	takes  time.Duration
	fails  error
	starts int
	since  time.Time
	t      *testing.T
}

func (c *slowChip) Start(context.Context) (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starts++
	c.since = time.Now()
	return c.takes, c.fails
}

func (c *slowChip) Read(ctx context.Context) ([]drivers.Value, error) {
	if past := time.Since(c.since); c.since.IsZero() || past < c.takes {
		c.t.Errorf("read %v after the start, want %v", past, c.takes)
	}
	c.since = time.Time{}
	return c.chip.Read(ctx)
}

// A chip that measures for 700 ms holds up nobody on its bus, and is read at
// its own rate.
func TestSplitVisit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &slowChip{chip: &chip{}, takes: 700 * time.Millisecond, t: t}
		slow := device("slow", "i2c-1", c.chip)
		slow.Open = func(context.Context, io.Closer) (drivers.Sensor, error) { return c, nil }
		fast := device("fast", "i2c-1", &chip{})
		fast.Interval = 200 * time.Millisecond
		r := start(t, slow, fast)
		wait(3 * time.Second)
		equal(t, "slow", r.times("slow"), "700ms 1.7s 2.7s")
		equal(t, "fast", r.times("fast"),
			"0s 100ms 300ms 500ms 700ms 900ms 1.1s 1.3s 1.5s 1.7s 1.9s 2.1s 2.3s 2.5s 2.7s 2.9s")
		if s := r.States(); s[0].Skipped+s[1].Skipped != 0 || c.starts != 4 {
			t.Errorf("skipped %d and %d, started %d times", s[0].Skipped, s[1].Skipped, c.starts)
		}
		c.set(func(*chip) { c.fails = errors.New("busy") })
		wait(10 * time.Second)
		if told := r.lines(); strings.Count(told, "start: busy") != 1 {
			t.Errorf("the log says %s", told)
		}
		c.set(func(*chip) { c.fails = nil })
		r.times("slow")
		wait(12 * time.Second)
		if n := len(strings.Fields(r.times("slow"))); n < 2 {
			t.Errorf("%d readings after it works again", n)
		}
	})
}

// A measurement that takes longer than the interval leaves visits out, and
// says how many.
func TestSplitVisitLongerThanTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &slowChip{chip: &chip{}, takes: 2500 * time.Millisecond, t: t}
		slow := device("slow", "i2c-1", c.chip)
		slow.Open = func(context.Context, io.Closer) (drivers.Sensor, error) { return c, nil }
		r := start(t, slow)
		wait(8600 * time.Millisecond)
		equal(t, "slow", r.times("slow"), "2.5s 5.5s 8.5s")
		if s := r.States()[0]; s.Skipped != 6 {
			t.Errorf("skipped %d", s.Skipped)
		}
	})
}
