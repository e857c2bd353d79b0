package model

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// skew is how long before it was appended a reading may have been taken.
const skew = 6 * time.Second

// judge looks for every reading that was ever appended. alive are the epochs
// that a card still knows.
func (a *account) judge(alive map[gateway.EpochID]bool) {
	for _, id := range a.ledger.order {
		p, e := a.ledger.pages[id], a.epochs[id]
		if e == nil {
			e = &held{}
		}
		if uint64(len(p.values)) > e.upto {
			a.missing(id, p, e, alive[id])
		}
	}
}

// missing judges what is behind the last that the log accounts for.
func (a *account) missing(id gateway.EpochID, p *page, e *held, alive bool) {
	n := uint64(len(p.values)) - e.upto
	own := n // without what the log lost when the gateway may have forgotten it, or its card was gone
	lost := max(p.late, p.overLate)
	switch {
	case p.gone:
		lost = max(p.lost, p.over)
	case p.ended && e.upto >= p.onCard: // what is missing was in memory only when power failed
		lost = max(lost, p.lost)
	}
	if lost > e.upto {
		own = n - min(n, lost-e.upto)
	}
	switch {
	case covered(p, e, own):
	case own == 0 && !alive:
		// The cloud's own loss: it acknowledged the epoch to its end and lost that
		// later than the gateway keeps what was acknowledged.
	case p.rolled && !alive && e.state == 'u':
		// A card that went back forgot an epoch; the log says that its end is unknown.
	case p.rolled && !alive && e.upto == 0 && e.state == 0:
		// It forgot one that the cloud never heard of, or has lost every word of:
		// nobody knows it (PROTOCOL.md 2.4, what no rule can repair).
	case p.rolled && p.copied && !alive && e.state == 'o':
		// The card that went back forgot an epoch that a copy of it had ended in
		// its own way: nobody knows that it had gone on.
	default:
		a.fault(hole, "%v: %d of %d readings are behind %d, where the log ends; "+
			"%d lost by the log, rolled %v, alive %v, taken from %v to %v, state %q, ends %+v",
			id, n, len(p.values), e.upto, p.lost, p.rolled, alive, p.stamps[e.upto], p.stamps[len(p.stamps)-1], e.state, deref(e.opens))
	}
}

// covered tells whether an open end speaks of the readings behind upto: of all
// the times in which they were taken and, unless the card went back, of so many.
// A copy beside the card ends the card's epoch too, by what it knows of it: that
// end does not count, its card's own must be there.
func covered(p *page, e *held, own uint64) bool {
	first, last := p.stamps[e.upto], p.stamps[len(p.stamps)-1]
	for _, end := range e.opens {
		timed := gateway.Stamp(end.T0) <= first.Add(skew) && (end.T1 == 0 || last <= gateway.Stamp(end.T1).Add(skew))
		if timed && (own <= end.AtMost || p.rolled) {
			return true
		}
	}
	return false
}

func deref(ends []*wire.End) (out []wire.End) {
	for _, e := range ends {
		out = append(out, *e)
	}
	return out
}
