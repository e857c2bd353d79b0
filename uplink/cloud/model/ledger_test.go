package model

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// retain is how long a gateway keeps what was acknowledged, at least (retain_s).
const retain = 10 * time.Minute

// A ledger is what is known from outside: what was appended under which name,
// and what the log had and lost.
type ledger struct {
	pages map[gateway.EpochID]*page
	order []gateway.EpochID
	full  bool // cards may be: any reading may be given up or thinned at any time
}

// A page is the ledger's of one epoch.
type page struct {
	values   []float64
	stamps   []gateway.Stamp
	lost     uint64 // the log had accounted for so many, and lost some of them
	late     uint64 // of these, so many it lost when they had been there for so long that the gateway may have forgotten them
	over     uint64 // so many there were when the log lost that they had ended behind the last it had
	given    uint64 // so many may have been given up, or thinned
	ended    bool   // a card was put into a board on which the epoch had not ended …
	onCard   uint64 // … and had so many of it, the least of all such cards
	overLate uint64 // the same, when it had had that end for so long
	gone     bool   // the card it was on is no more
	copied   bool   // a copy of the card, on which it had not ended, ran beside the card
	rolled   bool   // an older copy of the card it was on has taken the card's place
}

func newLedger() ledger { return ledger{pages: map[gateway.EpochID]*page{}} }

func (l *ledger) of(id gateway.EpochID) *page {
	p := l.pages[id]
	if p == nil {
		p = &page{}
		if l.full {
			p.given = math.MaxUint64
		}
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

// dropped notes that what there is may have been given up.
func (l *ledger) dropped() {
	for _, p := range l.pages {
		p.given = max(p.given, uint64(len(p.values)))
	}
}

// inserted notes what the card in a board that has booted has of the epochs
// that ended when the power went.
func (l *ledger) inserted(epochs []gateway.EpochState) {
	for _, e := range epochs {
		p := l.of(e.ID)
		if e.Growth == gateway.OpenEnded && (!p.ended || e.Last < p.onCard) {
			p.ended, p.onCard = true, e.Last
		}
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
func (l *ledger) lose(had, after *account) {
	before := time.Now().Add(-retain) // what the log had by then a gateway may have forgotten
	for id, e := range had.epochs {
		p := l.of(id)
		if e.upto > after.upto(id) {
			p.lost = max(p.lost, e.upto)
			if upto := e.uptoAt(before); upto > after.upto(id) {
				p.late = max(p.late, upto)
			}
		}
		if still := after.epochs[id]; len(e.opens) > 0 && (still == nil || len(still.opens) == 0) {
			p.over = uint64(len(p.values))
			if e.opened.Before(before) {
				p.overLate = p.over
			}
		}
	}
}
