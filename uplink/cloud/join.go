package cloud

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A join is where the log no longer had what the ledger had entered, and went
// on: what lies between may be lost.
type join struct {
	At     time.Time    `json:"at"`
	Seq    uint64       `json:"seq"`    // of the record with which the log went on
	Anew   bool         `json:"anew"`   // nothing of the gateway was left
	Epochs []joinedFrom `json:"epochs"` // whose readings may be lost
}

// A joinedFrom is what of an epoch may be lost: From to Upto.
type joinedFrom struct {
	Epoch gateway.EpochID `json:"epoch"`
	From  uint64          `json:"from"`
	Upto  uint64          `json:"upto"`
}

// join marks where the log goes on after it lost records: what its state says
// of each epoch counts from here on.
func (b *book) join(ctx context.Context, r record.Record) error {
	held, err := record.ParseState(r.State)
	if err != nil {
		return fmt.Errorf("record %d of %s: %w", r.Seq, b.gatewayID, err)
	}
	if err := b.loadAll(ctx); err != nil {
		return err
	}
	j := join{At: r.At, Seq: r.Seq, Anew: r.PrevSeq == 0}
	named := map[gateway.EpochID]record.EpochState{}
	for _, e := range held.Epochs {
		named[e.ID] = e
	}
	for _, a := range b.sorted() {
		if a.Line == b.page.Line && a.Seq >= r.Seq {
			continue // a crash came between this account and the page
		}
		e, ok := named[a.Epoch]
		switch {
		case ok && e.Upto < a.Upto:
			j.Epochs = append(j.Epochs, joinedFrom{a.Epoch, e.Upto + 1, a.Upto})
			if err := b.unsplit(ctx, a); err != nil {
				return err
			}
			a.rewind(e)
		// Also if the state has it from the ledger itself; and one of which the
		// log had something behind what is left, and which the state does not know.
		case a.Upto > 0 && (j.Anew || !ok && a.Seq > r.PrevSeq):
			j.Epochs = append(j.Epochs, joinedFrom{a.Epoch, 1, a.Upto})
			a.LogLost, a.dirty = &r.At, true
		}
		if j.Anew || a.Seq > r.PrevSeq { // its end, if it had one, may be lost
			b.page.Pending = slices.DeleteFunc(b.page.Pending, func(e ended) bool { return e.Epoch == a.Epoch })
		}
		if j.Anew {
			a.moveTo(b.page.Line)
		} else {
			a.goOn(b.page.Line, r.PrevSeq)
		}
	}
	b.page.Joins = append(b.page.Joins, j)
	b.page.Joins = b.page.Joins[max(0, len(b.page.Joins)-maxJoins):]
	b.page.keepUpTo(r.PrevSeq)
	if b.joined != nil {
		b.joined(j)
	}
	return nil
}

// keepUpTo forgets events that lay behind a place in the log; at 0 all.
func (p *page) keepUpTo(last uint64) {
	kept := slices.DeleteFunc(slices.Clone(p.Events), func(e eventPlace) bool { return e.Seq > last })
	if last == 0 || len(kept) == 0 && len(p.Events) > 0 { // documents of older ones may name some too
		p.EventDocs = 0
	}
	p.Events = kept
}
