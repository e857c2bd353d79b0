package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
)

// The wall clock is set back and forth by years while readings are taken each
// second. Their order and distance stay right, no age is ever negative, and
// what the last anchor gives is the wall time of the moment.
func TestStepsOfTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewFake(gateway.BootID{7})
		steps := []struct {
			name    string
			wall    time.Time
			quality gateway.ClockQuality
		}{
			{"booted in 1970", time.Unix(60, 0), gateway.ClockNone},
			{"ten years forward", time.Unix(60, 0).AddDate(10, 0, 0), gateway.ClockNone},
			{"synchronised", time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), gateway.ClockNTP},
			{"ten years back", time.Date(2016, 11, 23, 6, 0, 0, 0, time.UTC), gateway.ClockNone},
			{"an hour forward", time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC), gateway.ClockNTP},
		}
		var stamps []gateway.Stamp
		var anchors []gateway.Anchor
		for _, s := range steps {
			c.Set(s.wall, s.quality, 0)
			time.Sleep(2 * time.Second)
			before := c.Stamp()
			a := c.Anchor()
			time.Sleep(time.Second)
			stamps = append(stamps, before, c.Stamp())
			if again := c.Anchor(); again != a {
				t.Errorf("%s: the anchor changed without reason, from %+v to %+v", s.name, a, again)
			}
			if want := s.wall.Add(3 * time.Second); !a.Wall(c.Stamp()).Equal(want) {
				t.Errorf("%s: the wall time is %v, want %v", s.name, a.Wall(c.Stamp()), want)
			}
			if a.Quality != s.quality || a.Boot != c.Boot() {
				t.Errorf("%s: got %+v", s.name, a)
			}
			anchors = append(anchors, a)
		}
		for i := 1; i < len(stamps); i++ {
			if age := stamps[i].Sub(stamps[i-1]); age <= 0 {
				t.Errorf("reading %d is %v older than the one before", i, -age)
			}
		}
		for i := 1; i < len(anchors); i++ {
			if from := anchors[i].From; from <= anchors[i-1].From || from > stamps[2*i] {
				t.Errorf("anchor %d (%s) holds from %d", i, steps[i].name, from)
			}
		}
		if anchors[0].From != stamps[0] {
			t.Errorf("the first anchor holds from %d, want from %d on: before that another process of this boot may know better",
				anchors[0].From, stamps[0])
		}
	})
}

// A clock that becomes known without a step is a new anchor; a bound that
// creeps is not.
func TestQualityAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewFake(gateway.BootID{})
		c.Set(time.Now(), gateway.ClockRTC, 0)
		rtc := c.Anchor()
		c.Set(time.Now().Add(time.Millisecond), gateway.ClockRTC, 0)
		time.Sleep(2 * time.Second)
		if a := c.Anchor(); a != rtc {
			t.Errorf("a millisecond made a new anchor: %+v, before %+v", a, rtc)
		}
		c.Set(time.Now(), gateway.ClockNTP, 300*time.Millisecond)
		if a := c.Anchor(); a != rtc {
			t.Errorf("it looked twice within a second: %+v", a)
		}
		time.Sleep(time.Second)
		ntp := c.Anchor()
		if ntp.Quality != gateway.ClockNTP || ntp.From <= rtc.From || ntp.Error < 300*time.Millisecond || ntp.Error > 600*time.Millisecond {
			t.Errorf("got %+v after synchronisation", ntp)
		}
		c.Set(time.Now(), gateway.ClockNTP, 400*time.Millisecond)
		time.Sleep(2 * time.Second)
		if a := c.Anchor(); a != ntp {
			t.Errorf("a creeping bound changed the anchor: %+v, before %+v", a, ntp)
		}
	})
}
