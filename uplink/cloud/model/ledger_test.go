package model

import (
	"github.com/fieldgate/fieldgate/gateway"
)

// A ledger is what is known from outside: what was appended under which name,
// and what the log had and lost.
type ledger struct {
	pages   map[gateway.EpochID]*page
	order   []gateway.EpochID
	dropped bool // readings were given up before the cloud had them
}

// A page is the ledger's of one epoch.
type page struct {
	values []float64
	stamps []gateway.Stamp
	lost   uint64 // the log had accounted for so many, and lost some of them
	over   uint64 // so many there were when the log lost that they had ended behind the last it had
	rolled bool   // an older copy of the card it was on has taken the card's place
}

func newLedger() ledger { return ledger{pages: map[gateway.EpochID]*page{}} }

func (l *ledger) of(id gateway.EpochID) *page {
	p := l.pages[id]
	if p == nil {
		p = &page{}
		l.pages[id] = p
		l.order = append(l.order, id)
	}
	return p
}

// append notes readings under the names that the store gave them.
func (l *ledger) append(last gateway.Name, rs []gateway.Reading) {
	p := l.of(last.Epoch)
	for _, r := range rs {
		p.values = append(p.values, r.Value)
		p.stamps = append(p.stamps, r.At)
	}
	if last.Seq != uint64(len(p.values)) {
		panic("a name was used twice, or left out")
	}
}

// after calls note for every epoch that had not ended on an image, or was not
// there yet.
func (l *ledger) after(im image, note func(*page)) {
	for id := range im.ended {
		l.of(id)
	}
	for id, p := range l.pages {
		if !im.ended[id] {
			note(p)
		}
	}
}

// lose notes what a log has no more.
func (l *ledger) lose(before, after *account) {
	for id, e := range before.epochs {
		p := l.of(id)
		if e.upto > after.upto(id) {
			p.lost = max(p.lost, e.upto)
		}
		if still := after.epochs[id]; len(e.opens) > 0 && (still == nil || len(still.opens) == 0) {
			p.over = uint64(len(p.values))
		}
	}
}
