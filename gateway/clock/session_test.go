package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
)

// truth is the offset of the right time, seen from a clock that is years off.
func truth(f *clock.Fake, wall time.Time) int64 { return wall.UnixMicro() - int64(f.Stamp()) }

// A board in 1970 learns the time from the cloud; when its own clock is
// synchronised, that counts more; when it no longer is, the cloud's again.
func TestSessionTimeBetweenNothingAndNTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := clock.NewFake(gateway.BootID{1})
		f.Set(time.Unix(100, 0), gateway.ClockNone, 0)
		if a := f.Anchor(); a.Quality != gateway.ClockNone {
			t.Fatalf("anchor %+v", a)
		}
		var told []gateway.Anchor
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.Watch(ctx, func(now, _ gateway.Anchor) { told = append(told, now) })
		synctest.Wait()
		wall := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		offset := truth(f, wall)
		f.SessionTime(offset, 20*time.Millisecond)
		if a := f.Anchor(); a.Offset != offset {
			t.Errorf("not used at once: %+v", a)
		}
		time.Sleep(2 * time.Second) // virtual
		if a := f.Anchor(); a.Quality != gateway.ClockSession || a.Offset != offset || a.Error < 20*time.Millisecond {
			t.Errorf("anchor %+v", a)
		}
		for range 100 { // answers that fit make no new anchors
			f.SessionTime(offset+3000, 19*time.Millisecond)
			time.Sleep(30 * time.Second)
		}
		if a := f.Anchor(); a.Offset != offset || a.Error > 32*time.Millisecond {
			t.Errorf("anchor %+v", a)
		}
		f.SessionTime(offset+70_000, time.Millisecond) // one that is further away does
		time.Sleep(2 * time.Second)
		f.Set(wall.Add(time.Hour), gateway.ClockNTP, time.Millisecond)
		time.Sleep(2 * time.Second)
		if a := f.Anchor(); a.Quality != gateway.ClockNTP {
			t.Errorf("anchor %+v", a)
		}
		f.Set(time.Unix(5000, 0), gateway.ClockNone, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if a := f.Anchor(); a.Quality != gateway.ClockSession || a.Offset != offset+70_000 {
			t.Errorf("anchor %+v", a)
		}
		if len(told) != 4 {
			t.Errorf("%d anchors told: %+v", len(told), told)
		}
	})
}

// One wrong answer of the cloud moves nothing; three that agree do.
func TestSessionTimeThatJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := clock.NewFake(gateway.BootID{1})
		f.Set(time.Unix(100, 0), gateway.ClockRTC, 0)
		offset := truth(f, time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))
		f.SessionTime(offset, 20*time.Millisecond)
		hour := time.Hour.Microseconds()
		say := func(o int64) int64 {
			f.SessionTime(o, 20*time.Millisecond)
			time.Sleep(2 * time.Second)
			return f.Anchor().Offset
		}
		for _, o := range []int64{
			offset + hour, offset, offset + hour, offset, offset + hour, offset, offset + hour, offset - hour, offset + hour, offset + hour,
		} {
			if got := say(o); got != offset {
				t.Fatalf("moved by %d µs", got-offset)
			}
		}
		if got := say(offset + hour); got != offset+hour {
			t.Errorf("after three answers that agree it is off by %d µs", got-offset-hour)
		}
	})
}
