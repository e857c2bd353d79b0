package cloud

import (
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxAnchors is how many anchors of a boot are kept. A clock that flaps makes
// more; then the second oldest goes.
const maxAnchors = 128

// A bootClock derives wall time from the stamps of one boot by all its anchors
// that are known now, those that came after the readings included.
type bootClock struct {
	Boot    gateway.BootID `json:"boot"`
	Anchors []wire.Anchor  `json:"anchors"` // by From
}

// add takes an anchor in and tells whether that changed anything.
func (c *bootClock) add(a wire.Anchor) bool {
	i, found := slices.BinarySearchFunc(c.Anchors, a, func(x, y wire.Anchor) int {
		switch {
		case x.From < y.From:
			return -1
		case x.From > y.From:
			return 1
		}
		return 0
	})
	if !found {
		c.Anchors = slices.Insert(c.Anchors, i, a)
		if len(c.Anchors) > maxAnchors {
			c.Anchors = slices.Delete(c.Anchors, 1, 2)
		}
		return true
	}
	// The same moment again: what is believed more stays, and of two that are
	// believed alike the one that bounds its error better.
	old := c.Anchors[i]
	if a.Quality < old.Quality || a.Quality == old.Quality && !narrower(a.ErrUS, old.ErrUS) {
		return false
	}
	c.Anchors[i] = a
	return true
}

// narrower compares bounds of errors, of which 0 means unknown.
func narrower(a, b int64) bool { return a != 0 && (b == 0 || a < b) }

// synchronised tells whether an anchor comes from a clock that somebody set
// right during this boot.
func synchronised(a wire.Anchor) bool { return a.Quality >= gateway.ClockSession }

// at gives the anchor to derive the wall time of a stamp from, and up to which
// stamp it is that one. An anchor holds from its stamp on. Where it is not
// synchronised, the nearest that is stands in, later ones first: BOOTTIME
// does not jump, so an offset learned later is right for what came before.
func (c *bootClock) at(s int64) (a wire.Anchor, until int64) {
	next := len(c.Anchors)
	for i := range c.Anchors {
		if c.Anchors[i].From > s {
			next = i
			break
		}
	}
	until = 1<<63 - 1
	if next < len(c.Anchors) {
		until = c.Anchors[next].From
	}
	if next > 0 && synchronised(c.Anchors[next-1]) {
		return c.Anchors[next-1], until
	}
	for _, a := range c.Anchors[next:] {
		if synchronised(a) {
			return a, until
		}
	}
	var best wire.Anchor
	for i, a := range c.Anchors {
		if i == 0 || a.Quality > best.Quality || a.Quality == best.Quality && i < next {
			best = a
		}
	}
	return best, until
}

// wall gives the wall time of a stamp, and how far it may be believed.
func (c *bootClock) wall(s int64) (time.Time, gateway.ClockQuality) {
	a, _ := c.at(s)
	return wallOf(s + a.Offset), a.Quality
}

// wallOf gives a wall time that RFC 3339 has: a gateway may say any number, and
// an answer that holds another year than 1 to 9999 could not be written.
func wallOf(micros int64) time.Time {
	const first, last = -62_135_596_800_000_000, 253_402_300_799_999_999 // of these years
	return time.UnixMicro(min(max(micros, first), last)).UTC()
}

// bounds gives between which wall times all stamps from t0 to t1 lie, and the
// worst quality among them.
func (c *bootClock) bounds(t0, t1 int64) (w0, w1 time.Time, q gateway.ClockQuality) {
	a, until := c.at(t0)
	lo, hi, q := t0+a.Offset, t0+a.Offset, a.Quality
	for s := t0; ; s = until {
		a, until = c.at(s)
		end := min(until, t1)
		lo, hi, q = min(lo, s+a.Offset), max(hi, end+a.Offset), min(q, a.Quality)
		if until > t1 {
			return wallOf(lo), wallOf(hi), q
		}
	}
}

func wireAnchorOf(a gateway.Anchor) wire.Anchor {
	return wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}
}
