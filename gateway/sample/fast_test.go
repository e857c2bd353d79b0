package sample_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/sample"
)

// Four devices on one bus, each read every 10 ms: each keeps its own phase, to
// the tick. When one of them is slow, its neighbours miss ticks with it. What
// is missed is counted, and none is made up for.
func TestTenMilliseconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var devices []sample.Device
		chips := []*chip{{}, {}, {}, {}}
		for i, id := range []string{"a", "b", "c", "d"} {
			d := device(id, "i2c-1", chips[i])
			d.Interval = 10 * time.Millisecond
			devices = append(devices, d)
		}
		r := start(t, devices...)
		wait(10*time.Second - time.Millisecond)
		chips[0].set(func(c *chip) { c.delay = 35 * time.Millisecond })
		wait(40 * time.Millisecond)
		chips[0].set(func(c *chip) { c.delay = 0 })
		wait(10 * time.Second)
		at := map[string][]time.Duration{}
		for _, x := range r.all() {
			at[x.Channel.Device] = append(at[x.Channel.Device], x.after)
		}
		for i, s := range r.States() {
			phase := time.Duration(i) * 2500 * time.Microsecond
			late := 0
			for k, x := range at[s.ID] {
				if off := (x - phase) % (10 * time.Millisecond); k > 0 && off != 0 {
					late++
				}
			}
			// The one that is slow may be late twice, its neighbours once after it.
			if late > 2 {
				t.Errorf("%s is off its ticks %d times", s.ID, late)
			}
			gaps := slices.Collect(steps(at[s.ID][2:]))
			if least := slices.Min(gaps); least < 2500*time.Microsecond {
				t.Errorf("%s: two readings within %v", s.ID, least)
			}
			ticks := int((20039*time.Millisecond-phase)/(10*time.Millisecond)) + 1
			if n := len(at[s.ID]) + int(s.Skipped); s.Skipped < 2 || n < ticks || n > ticks+1 {
				t.Errorf("%s: %d readings, %d skipped, %d ticks", s.ID, len(at[s.ID]), s.Skipped, ticks)
			}
		}
	})
}

func steps(at []time.Duration) func(func(time.Duration) bool) {
	return func(yield func(time.Duration) bool) {
		for i := 1; i < len(at); i++ {
			if !yield(at[i] - at[i-1]) {
				return
			}
		}
	}
}
