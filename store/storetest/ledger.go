// Package storetest holds what proofs of the store need: a card that records or
// fails its steps, folders as power cuts leave them, and a ledger of promises.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
)

// A Ledger knows what a store was given, what it promised of that, and what
// it may have discarded.
type Ledger struct {
	Epochs   map[gateway.EpochID]Account
	Limited  bool   // max_size or min_free may have cost readings
	Damaged  bool   // files were damaged: readings may be missing, but not in silence
	Restored bool   // files are older copies of themselves
	AtLeast  uint64 // so many readings are there, whatever was damaged
}

// An Account is the Ledger's page of one epoch.
type Account struct {
	Values    []float64 // of the readings appended, by seq-1; only ever appended to
	Durable   uint64    // the store said that these are on the card
	Acked     uint64    // the most that the cloud ever acknowledged
	MayForget uint64    // the cloud has these for certain, by a later ack
	Over      bool      // and the end too
	Closed    bool      // the store said that it is closed at its last reading
}

// NewLedger gives one of a store that was given nothing yet.
func NewLedger() *Ledger { return &Ledger{Epochs: map[gateway.EpochID]Account{}} }

// Copy gives the ledger as it is now.
func (l *Ledger) Copy() *Ledger {
	other := *l
	other.Epochs = maps.Clone(l.Epochs)
	return &other
}

// Change alters the account of an epoch.
func (l *Ledger) Change(id gateway.EpochID, change func(*Account)) {
	a := l.Epochs[id]
	change(&a)
	l.Epochs[id] = a
}

// Found is what an audit of a store came upon.
type Found struct {
	Readings uint64                 // that are there with their values
	Gaps     map[gateway.Why]uint64 // readings by the reason why they are not
	Thinned  uint64
}

// Audit walks along every epoch of a store to its end and compares. The error
// is the first that is not as it was promised.
func (l *Ledger) Audit(s *store.Store) (Found, error) {
	w := walk{l: l, s: s, dec: block.NewDecoder(), found: Found{Gaps: map[gateway.Why]uint64{}}}
	listed := map[gateway.EpochID]bool{}
	es := s.Epochs()
	for i, e := range es {
		if listed[e.ID] {
			return w.found, fmt.Errorf("epoch %v is listed twice", e.ID)
		}
		listed[e.ID] = true
		_, known := l.Epochs[e.ID]
		if growing := e.Growth == gateway.Growing; growing != (i == len(es)-1) {
			return w.found, fmt.Errorf("epoch %v is number %d of %d and its growth is %d", e.ID, i+1, len(es), e.Growth)
		} else if growing && known && e.Last == 0 && len(l.Epochs[e.ID].Values) > 0 {
			return w.found, fmt.Errorf("epoch %v was used before", e.ID)
		}
		if err := w.epoch(e); err != nil {
			return w.found, fmt.Errorf("epoch %v (%d of %d, %+v): %w", e.ID, i+1, len(es), l.Epochs[e.ID].said(), err)
		}
	}
	for id, a := range l.Epochs {
		if !listed[id] && a.Durable > 0 && !l.Restored && !(a.Over && a.MayForget >= a.Durable) {
			return w.found, fmt.Errorf("epoch %v, %+v, is not in the store", id, a.said())
		}
	}
	return w.found, nil
}

func (a Account) said() string {
	return fmt.Sprintf("%d appended, %d durable, %d acked, may forget %d, over %v, closed %v",
		len(a.Values), a.Durable, a.Acked, a.MayForget, a.Over, a.Closed)
}

type walk struct {
	l     *Ledger
	s     *store.Store
	dec   *block.Decoder
	found Found
}

// epoch walks along one epoch.
func (w *walk) epoch(e gateway.EpochState) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the growing epoch is not waited for
	for seq := uint64(1); ; {
		b, err := w.s.Next(ctx, e.ID, seq, 0)
		switch {
		case errors.Is(err, context.Canceled) && e.Growth == gateway.Growing:
			return w.behind(e.ID, seq, nil)
		case err != nil:
			return err
		case b.Epoch != e.ID || b.First != seq && !(b.Thinned && b.First < seq && b.Last() >= seq):
			return fmt.Errorf("at %d stands %v", seq, b.Range)
		case b.End != nil:
			return w.behind(e.ID, seq, b.End)
		case b.N == 0:
			return fmt.Errorf("at %d stands nothing", seq)
		case b.Gap != nil:
			err = w.gap(b)
		case b.Thinned:
			err = w.thinned(b, seq)
		default:
			err = w.block(b)
		}
		if err != nil {
			return err
		}
		seq = b.Last() + 1
	}
}

// block compares readings with what was appended.
func (w *walk) block(b gateway.Block) error {
	h, rs, err := w.dec.Decode(b.Data)
	if err != nil || h.Range != b.Range || uint64(len(rs)) != b.N {
		return fmt.Errorf("%v decodes to %v, %d readings: %v", b.Range, h.Range, len(rs), err)
	}
	values := w.l.Epochs[b.Epoch].Values
	for i := range rs {
		seq := b.First + uint64(i)
		if seq > uint64(len(values)) {
			return fmt.Errorf("reading %d was never appended", seq)
		}
		if rs[i].Value != values[seq-1] {
			return fmt.Errorf("reading %d came back as %v, was %v", seq, rs[i].Value, values[seq-1])
		}
	}
	w.found.Readings += b.N
	return nil
}

// thinned compares summaries of a channel's readings, all of which are in
// order of time, with what was appended.
func (w *walk) thinned(b gateway.Block, seq uint64) error {
	h, sums, err := w.dec.Summaries(b.Data)
	if err != nil || h.Range != b.Range || !w.l.Limited {
		return fmt.Errorf("%v is thinned and decodes to %v: %v", b.Range, h.Range, err)
	}
	values := w.l.Epochs[b.Epoch].Values
	if b.Last() > uint64(len(values)) {
		return fmt.Errorf("thinned up to %d, which was never appended", b.Last())
	}
	values = values[b.First-1 : b.Last()]
	for _, sum := range sums {
		own := values[:sum.N]
		values = values[sum.N:]
		total := 0.0
		for _, v := range own {
			total += v
		}
		if mean := total / float64(sum.N); sum.Min != slices.Min(own) || sum.Max != slices.Max(own) ||
			math.Abs(sum.Mean-mean) > 0.01*(1+math.Abs(mean)) {
			return fmt.Errorf("thinned %v says %+v of %d readings with mean %v", b.Range, sum, len(own), mean)
		}
	}
	w.found.Thinned += b.Last() + 1 - seq
	return nil
}

// gap looks whether it may stand where it does.
func (w *walk) gap(b gateway.Block) error {
	a, why := w.l.Epochs[b.Epoch], b.Gap.Why
	w.found.Gaps[why] += b.N
	switch {
	case why == gateway.WhyForgottenAfterAck && b.Last() <= a.MayForget:
	case why == gateway.WhyForgottenAfterAck && b.First > a.Durable && b.Last() <= a.Acked: // the cloud had them, the card never did
	case why == gateway.WhyDropped && w.l.Limited:
	case why == gateway.WhyUnknown && w.l.Damaged:
	case b.First > a.Durable && b.Last() <= uint64(len(a.Values)) && why == gateway.WhyCardFailed:
	default:
		return fmt.Errorf("the gap %v to %d, %s, may not be there", b.Range, b.Last(), why)
	}
	return nil
}

// behind looks at what is not there at all, from seq on. end is nil where the
// epoch still grows.
func (w *walk) behind(id gateway.EpochID, seq uint64, end *gateway.End) error {
	a := w.l.Epochs[id]
	appended := uint64(len(a.Values))
	missing := appended - min(appended, seq-1)
	switch {
	case end != nil && end.Closed && end.Last != seq-1:
		return fmt.Errorf("closed at %d, but the last is %d", end.Last, seq-1)
	case seq <= a.Durable && !w.l.Damaged && !w.l.Restored:
		return fmt.Errorf("from %d on nothing is there; %+v", seq, end)
	case missing > 0 && (end == nil || end.Closed || end.AtMost < missing) && !w.l.Restored:
		return fmt.Errorf("%d readings from %d on are missing, the end says %+v", missing, seq, end)
	case a.Closed && !w.l.Damaged && !w.l.Restored && (end == nil || !end.Closed):
		return fmt.Errorf("the epoch was closed, its end is %+v", end)
	}
	return nil
}
