// Package clock is the time of the house: stamps that never jump, and anchors
// that say what wall time they stand for and how far that may be believed.
package clock

import (
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// lookEvery is how long an anchor is given without looking at the clocks again.
const lookEvery = time.Second

// stepSize is the smallest change of the wall clock against BOOTTIME that is
// called a step. The kernel slews both alike, so that only setting the clock
// moves one against the other; what remains is the time between two looks.
const stepSize = 5 * time.Millisecond

// A source is where a Clock looks.
type source interface {
	// look gives BOOTTIME and the wall time at the same moment, in
	// microseconds of each.
	look() (boot gateway.Stamp, wall int64)
	// stamp gives BOOTTIME.
	stamp() gateway.Stamp
	// trust says how far the wall time may be believed now, with a bound on
	// its error (0: unknown). stepped: it was set since the last call.
	trust(stepped bool) (gateway.ClockQuality, time.Duration)
}

// A Clock tells the time of this boot. Its methods may be called from any
// goroutine.
type Clock struct {
	boot gateway.BootID
	src  source

	mu      sync.Mutex
	known   bool
	anchor  gateway.Anchor
	system  int64         // µs: the system clock minus BOOTTIME, when last looked at
	again   gateway.Stamp // when to look again
	session sessionTime
}

// Boot gives the id of this boot.
func (c *Clock) Boot() gateway.BootID { return c.boot }

// Stamp gives the time since boot. It never goes back.
func (c *Clock) Stamp() gateway.Stamp { return c.src.stamp() }

// Anchor gives what wall time stamps stand for from now on. The same anchor
// is given until the wall clock is set or is believed more or less than
// before, which is looked at once a second at most; only its Error may change
// meanwhile.
func (c *Clock) Anchor() gateway.Anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && c.src.stamp() < c.again {
		return c.anchor
	}
	now, wall := c.src.look()
	c.again = now.Add(lookEvery)
	offset := wall - int64(now)
	moved := time.Duration(offset-c.system) * time.Microsecond
	stepped := !c.known || moved.Abs() >= stepSize
	c.system = offset
	quality, bound := c.src.trust(stepped)
	if quality < gateway.ClockSession && c.session.known {
		// The cloud's time is better than a clock that nobody set.
		offset, quality, bound = c.session.offset, gateway.ClockSession, c.session.bound(now)
		stepped = !c.known || offset != c.anchor.Offset
	}
	bound = roundUp(bound)
	if !stepped && quality == c.anchor.Quality {
		c.anchor.Error = bound
		return c.anchor
	}
	// Also the first holds from now on: an earlier process may have told others
	// of this boot. Before it, it holds where there are none.
	c.known = true
	c.anchor = gateway.Anchor{Boot: c.boot, From: now, Offset: offset, Quality: quality, Error: bound}
	return c.anchor
}

// roundUp gives the next power of two of milliseconds, so that a bound which
// creeps up until the next correction does not make every anchor a new one.
func roundUp(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	up := time.Millisecond
	for up < bound && up < time.Hour {
		up *= 2
	}
	return up
}
