package uplink_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
)

// qualified is a board's clock of a quality that can change.
type qualified struct {
	boardClock
	mu      sync.Mutex
	quality gateway.ClockQuality
	offset  int64
}

func (c *qualified) Anchor() gateway.Anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.boardClock.Anchor()
	a.Quality, a.Offset = c.quality, c.offset
	return a
}

// learn is what a session does to a clock that nothing else has set.
func (c *qualified) learn(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quality, c.offset = gateway.ClockSession, now.UnixMicro()-int64(c.Stamp())
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err) // of this file
	}
	return t
}

// In a bubble it is the year 2000. A board that boots decades before the
// cloud's certificate begins is 1970's, one that boots after its end 2099's.
func TestBootsInAnotherCentury(t *testing.T) {
	for name, c := range map[string]struct {
		begin   string // of the certificate, which lasts four years
		floor   string // "": none
		quality gateway.ClockQuality
		says    []string // code and words; nil: it connects
	}{
		"1970, no floor": {"2010-01-01", "", gateway.ClockNone,
			[]string{"uplink_clock", "this board's clock says 2000-01-01", "begins on 2010-01-01", "set the clock"}},
		"1970, built within the certificate": {"2010-01-01", "2011-06-01", gateway.ClockNone, nil},
		"1970, the certificate began afterwards": {"2012-01-01", "2011-06-01", gateway.ClockNone,
			[]string{"uplink_clock", "says 2011-06-01", "begins on 2012-01-01"}},
		"1970, from its RTC": {"2010-01-01", "2011-06-01", gateway.ClockRTC, nil},
		"2099, no floor": {"1990-01-01", "", gateway.ClockNone,
			[]string{"uplink_certificate", "ended on 1994-01-01", "this board's clock says 2000-01-01", "set the clock if it is wrong"}},
		"2099, floor within the certificate": {"1990-01-01", "1992-06-01", gateway.ClockNone, nil},
		"2099, and the certificate really ended": {"1990-01-01", "1994-06-01", gateway.ClockNone,
			[]string{"uplink_certificate", "ended on 1994-01-01"}},
		"2099, the certificate began afterwards": {"1990-01-01", "1989-06-01", gateway.ClockNone,
			[]string{"uplink_certificate", "ended on 1994-01-01"}},
		"2099, from its RTC":               {"1990-01-01", "1992-06-01", gateway.ClockRTC, []string{"uplink_certificate", "ended on 1994-01-01"}},
		"2099, synchronised: it really is": {"1990-01-01", "1992-06-01", gateway.ClockNTP, []string{"uplink_certificate", "ended on 1994-01-01"}},
	} {
		t.Run(name, func(t *testing.T) {
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				w.certBegin = day(c.begin)
				o.Clock = &qualified{boardClock: boardClock{time.Now()}, quality: c.quality, offset: time.Now().UnixMicro()}
				o.Floor = func() time.Time {
					if c.floor == "" {
						return time.Time{}
					}
					return day(c.floor)
				}
			}, func(w *testbed) {
				if c.says != nil {
					w.says(c.says[0], c.says[1:]...)
					w.pass(time.Hour)
					return
				}
				w.online()
				w.store.Append(5)
				w.complete(time.Minute)
				w.net.Cut()
				w.online()
			})
		})
	}
}

// The clock of a board that booted in 2099 is right once a session has told
// the time, and the certificate is checked at that time from then on; the next
// boot has the time that the cloud told as its floor.
func TestLearnsTheTimeIn2099(t *testing.T) {
	clock := &qualified{boardClock: boardClock{time.Now()}}
	told := day("1992-06-01")
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.certBegin = day("1990-01-01")
		clock.boardClock, clock.offset = boardClock{time.Now()}, time.Now().UnixMicro()
		o.Clock, o.Floor = clock, func() time.Time { return told }
	}, func(w *testbed) {
		w.online()
		if n := strings.Count(w.log.String(), "a time that nothing confirms"); n != 1 {
			t.Errorf("told %d times", n)
		}
		clock.learn(day("1993-01-01"))
		w.net.Cut()
		w.online()
		if n := strings.Count(w.log.String(), "a time that nothing confirms"); n != 1 {
			t.Errorf("told %d times after the time was learned", n)
		}
		clock.learn(day("1994-06-01")) // now the certificate has ended
		w.net.Cut()
		w.says("uplink_certificate", "ended on 1994-01-01", "this board's clock says 1994-06-01")
	})
}
