package gateway

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// maxAnchors is how many anchors of a boot a timeline keeps. A clock that flaps
// makes more; then the second oldest goes.
const maxAnchors = 128

// A Timeline is the anchors of one boot that are known, in the order of From,
// each From once. It is the one rule for wall time, on the gateway and in the
// cloud:
//
//   - An anchor holds from its stamp on, up to the stamp of the next one.
//   - The first one also holds for all stamps before it.
//   - Where that anchor is not synchronised (session or ntp), the next later
//     one that is stands in, else the best one there is, of equals the nearest
//     before, then the nearest after. BOOTTIME does not jump, so an offset that
//     was learned later is right for what came before.
//   - Of two anchors of one stamp, the better quality counts, of equals the one
//     that bounds its error better, then the one that came first.
//
// Who knows more than 128 anchors of a boot may leave some out. timelinetest has
// the table of cases that every user of the rule passes.
type Timeline []Anchor

// With gives the timeline with an anchor more, and tells whether that changed
// anything. It may use the memory of t.
func (t Timeline) With(a Anchor) (Timeline, bool) {
	i, found := slices.BinarySearchFunc(t, a.From, func(x Anchor, from Stamp) int { return cmp.Compare(x.From, from) })
	if !found {
		t = slices.Insert(t, i, a)
		if len(t) > maxAnchors {
			t = slices.Delete(t, 1, 2)
		}
		return t, true
	}
	old := t[i]
	if a.Quality < old.Quality || a.Quality == old.Quality && !narrower(a.Error, old.Error) {
		return t, false
	}
	t[i] = a
	return t, true
}

// narrower compares bounds of errors, of which 0 means unknown.
func narrower(a, b time.Duration) bool { return a != 0 && (b == 0 || a < b) }

// synchronised tells whether an anchor comes from a clock that somebody set
// right during this boot.
func (a Anchor) synchronised() bool { return a.Quality >= ClockSession }

// At gives the anchor that decides the wall time of a stamp, and until which
// stamp it does; the greatest stamp there is means for ever. Without anchors it
// gives the zero one.
func (t Timeline) At(s Stamp) (a Anchor, until Stamp) {
	next, _ := slices.BinarySearchFunc(t, s, func(x Anchor, s Stamp) int {
		if x.From <= s {
			return -1
		}
		return 1
	})
	return t.decides(next), t.begin(next)
}

// begin gives where the i-th anchor begins to hold.
func (t Timeline) begin(i int) Stamp {
	if i < len(t) {
		return t[i].From
	}
	return math.MaxInt64
}

// decides gives the anchor for stamps before the one with number next, and not
// before the one in front of that.
func (t Timeline) decides(next int) (best Anchor) {
	if next > 0 && t[next-1].synchronised() {
		return t[next-1]
	}
	for _, a := range t[next:] {
		if a.synchronised() {
			return a
		}
	}
	for i, a := range t {
		if i == 0 || a.Quality > best.Quality || a.Quality == best.Quality && i < next {
			best = a
		}
	}
	return best
}

// Wall gives the wall time of a stamp, and how far it may be believed.
func (t Timeline) Wall(s Stamp) (time.Time, ClockQuality) {
	a, _ := t.At(s)
	return a.Wall(s), a.Quality
}

// Bounds gives between which wall times all stamps from t0 to t1 lie, and the
// worst quality among them.
func (t Timeline) Bounds(t0, t1 Stamp) (w0, w1 time.Time, q ClockQuality) {
	a, until := t.At(t0)
	lo, hi, q := a.Micros(t0), a.Micros(t0), a.Quality
	// Every turn is a piece of the timeline: there are no more than anchors,
	// whatever the stamps are.
	for s := t0; ; s = until {
		a, until = t.At(s)
		lo, hi, q = min(lo, a.Micros(s)), max(hi, a.Micros(min(until, t1))), min(q, a.Quality)
		if until > t1 || until == math.MaxInt64 {
			if t1 == math.MaxInt64 { // an anchor may begin to hold just there
				a, _ = t.At(t1)
				lo, hi, q = min(lo, a.Micros(t1)), max(hi, a.Micros(t1)), min(q, a.Quality)
			}
			return time.UnixMicro(lo).UTC(), time.UnixMicro(hi).UTC(), q
		}
	}
}
