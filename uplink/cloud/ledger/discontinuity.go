package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// maxDiscontinuities is how many discontinuities the ledger of a gateway remembers.
const maxDiscontinuities = 32

// A Discontinuity is where the log no longer had what the ledger had entered, and went
// on: what lies between may be lost.
type Discontinuity struct {
	At     time.Time   `json:"at"`
	Seq    uint64      `json:"seq"`    // of the record with which the log went on
	Anew   bool        `json:"anew"`   // nothing of the gateway was left
	Epochs []lostRange `json:"epochs"` // whose readings may be lost
}

// A lostRange is what of an epoch may be lost: From to Upto.
type lostRange struct {
	Epoch gateway.EpochID `json:"epoch"`
	From  uint64          `json:"from"`
	Upto  uint64          `json:"upto"`
}

// discontinue marks where the log goes on after it lost records: what its state says
// of each epoch counts from here on.
func (b *Gateway) discontinue(ctx context.Context, r record.Record) error {
	held, err := record.ParseState(r.State)
	if err != nil {
		return fmt.Errorf("record %d of %s: %w", r.Seq, b.ID, err)
	}
	// All accounts, not only those at hand: any of them may have lost readings.
	if err := b.loadAll(ctx); err != nil {
		return err
	}
	j := Discontinuity{At: r.At, Seq: r.Seq, Anew: r.PrevSeq == 0}
	named := map[gateway.EpochID]record.EpochState{}
	for _, e := range held.Epochs {
		named[e.ID] = e
	}
	for _, a := range b.sorted() {
		if a.Line == b.checkpoint.Line && a.Seq >= r.Seq {
			continue // a crash came between this account and the checkpoint
		}
		e, ok := named[a.Epoch]
		switch {
		case ok && e.Upto < a.Upto:
			j.Epochs = append(j.Epochs, lostRange{a.Epoch, e.Upto + 1, a.Upto})
			// The list of spans is made whole, because rewind cuts it where the state of
			// this record ends. What lies behind stays claimed until it is sent again.
			if err := b.unsplit(ctx, a); err != nil {
				return err
			}
			a.rewind(e)
		// Also if the state has it from the ledger itself; and one of which the
		// log had something behind what is left, and which the state does not know.
		case a.Upto > 0 && (j.Anew || !ok && a.Seq > r.PrevSeq):
			j.Epochs = append(j.Epochs, lostRange{a.Epoch, 1, a.Upto})
			a.LogLost, a.dirty = &r.At, true
		}
		if j.Anew || a.Seq > r.PrevSeq { // its end, if it had one, may be lost
			b.checkpoint.Pending = slices.DeleteFunc(b.checkpoint.Pending, func(e ended) bool { return e.Epoch == a.Epoch })
		}
		// The sequences of a log that begins anew say nothing of the old one. Where only
		// its tail was lost, those before it still stand.
		if j.Anew {
			a.moveTo(b.checkpoint.Line)
		} else {
			a.goOn(b.checkpoint.Line, r.PrevSeq)
		}
	}
	b.checkpoint.Discontinuities = append(b.checkpoint.Discontinuities, j)
	b.checkpoint.Discontinuities = b.checkpoint.Discontinuities[max(0, len(b.checkpoint.Discontinuities)-maxDiscontinuities):]
	b.checkpoint.keepUpTo(r.PrevSeq)
	if b.onDiscontinuity != nil {
		b.onDiscontinuity(j)
	}
	return nil
}

// keepUpTo forgets events that lay behind a place in the log; at 0 all.
func (p *checkpoint) keepUpTo(last uint64) {
	kept := slices.DeleteFunc(slices.Clone(p.Events), func(e eventPlace) bool { return e.Seq > last })
	if last == 0 || len(kept) == 0 && len(p.Events) > 0 { // documents of older ones may name some too
		p.EventDocs = 0
	}
	p.Events = kept
}
