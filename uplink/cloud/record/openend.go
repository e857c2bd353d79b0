package record

import (
	"math"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An OpenEnd is the end of an epoch that nobody saw: at most AtMost readings
// behind the last one are lost (gateway.AtMostUnknown: nothing bounds them).
type OpenEnd struct {
	Why    gateway.Why `json:"why"`
	AtMost uint64      `json:"at_most"`
	T0     int64       `json:"t0"` // they were taken between these stamps, µs of Anchor.Boot
	T1     int64       `json:"t1"` // 0: not known
	Anchor wire.Anchor `json:"anchor"`
}

// OpenEndOf gives an open end as it was told on the wire. An end without an
// anchor has no boot.
func OpenEndOf(e *wire.End) OpenEnd {
	o := OpenEnd{Why: e.Why, AtMost: min(e.AtMost, gateway.AtMostUnknown), T0: e.T0, T1: e.T1}
	if e.Anchor != nil {
		o.Anchor = *e.Anchor
	}
	return o
}

// Join gives what o and an earlier end of the same readings say together, in
// the words of o. Two boards tell of one epoch when the card of one was a copy
// of the other's: what both say is kept. An earlier end that begins like o and
// knows less is an earlier word of the same board, and counts no more.
func (o OpenEnd) Join(earlier OpenEnd) OpenEnd {
	p := earlier
	// Stamps of two boots cannot be compared, so the earlier end is told in those of
	// this one. One boot, and it begins alike: an earlier word of the same board.
	if p.Anchor.Boot != o.Anchor.Boot {
		p = p.asOf(o)
	} else if o.T0 == p.T0 && (o.AtMost == p.AtMost && p.T1 == 0 || p.AtMost == gateway.AtMostUnknown) {
		return o
	}
	// The wider bound of each: what was lost lies in it, whichever board is right.
	o.AtMost, o.T0 = max(o.AtMost, p.AtMost), min(o.T0, p.T0)
	if o.T1 == 0 || p.T1 == 0 {
		o.T1 = 0 // not known
	} else {
		o.T1 = max(o.T1, p.T1)
	}
	return o
}

// asOf tells the stamps of o as ones of the boot of other: stamps of two boots
// cannot be compared, but wall times can. Without a clock in one of the boots
// nothing is known of the time of o.
func (o OpenEnd) asOf(other OpenEnd) OpenEnd {
	from, to := AnchorOf(o.Anchor), AnchorOf(other.Anchor)
	if from.Quality == gateway.ClockNone || to.Quality == gateway.ClockNone {
		o.T0, o.T1 = other.T0, 0
		return o
	}
	o.T0 = less(from.Micros(gateway.Stamp(o.T0)), to.Offset)
	if o.T1 != 0 {
		o.T1 = less(from.Micros(gateway.Stamp(o.T1)), to.Offset)
	}
	return o
}

// less subtracts, and gives the greatest or least number where the difference
// has no room.
func less(a, b int64) int64 {
	switch c := a - b; {
	case a >= 0 && b < 0 && c < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && c >= 0:
		return math.MinInt64
	default:
		return c
	}
}
