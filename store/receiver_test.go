package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// A receiver is a cloud that keeps to the protocol's rules of contiguity,
// ends and going back (uplink/wire, rules 6 to 8). It outlives stores.
type receiver struct {
	t    *testing.T
	held map[gateway.EpochID]*shelfOf
}

// shelfOf is what a receiver has of one epoch.
type shelfOf struct {
	upto   uint64
	end    *gateway.End
	values map[uint64]float64
	gaps   map[uint64]gateway.Why
	anchor map[uint64]gateway.Anchor // as the block said
	at     map[uint64]gateway.Stamp
}

func newReceiver(t *testing.T) *receiver {
	return &receiver{t: t, held: map[gateway.EpochID]*shelfOf{}}
}

func (r *receiver) of(id gateway.EpochID) *shelfOf {
	if r.held[id] == nil {
		r.held[id] = &shelfOf{values: map[uint64]float64{}, gaps: map[uint64]gateway.Why{}, anchor: map[uint64]gateway.Anchor{},
			at: map[uint64]gateway.Stamp{}}
	}
	return r.held[id]
}

func (r *receiver) ack(s *store.Store, id gateway.EpochID) {
	r.t.Helper()
	e := r.of(id)
	if err := s.Ack(id, e.upto, e.end != nil); err != nil {
		r.t.Fatal(err)
	}
}

// welcome opens a session: what the receiver holds counts, also if it is less
// or more than the gateway believed.
func (r *receiver) welcome(s *store.Store) {
	r.t.Helper()
	s.Session(true, time.Minute)
	for _, e := range s.Epochs() {
		r.ack(s, e.ID)
	}
}

// drain takes up to n pieces of a store, oldest epoch first; all with -1.
func (r *receiver) drain(s *store.Store, n int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, e := range s.Epochs() {
		for {
			e := r.state(s, e.ID)
			if n == 0 || e.Done && e.Acked >= e.Last {
				break
			}
			b, err := s.Next(ctx, e.ID, r.of(e.ID).upto+1, 0)
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				r.t.Fatal(err)
			}
			n--
			r.take(b)
			r.ack(s, e.ID)
		}
	}
}

func (r *receiver) state(s *store.Store, id gateway.EpochID) gateway.EpochState {
	r.t.Helper()
	for _, e := range s.Epochs() {
		if e.ID == id {
			return e
		}
	}
	return gateway.EpochState{ID: id, Done: true}
}

func (r *receiver) take(b gateway.Block) {
	r.t.Helper()
	e := r.of(b.Epoch)
	switch {
	case b.End != nil:
		e.end = b.End
		return
	case b.First > e.upto+1 || b.Last() <= e.upto:
		r.t.Fatalf("the store gives %v, the cloud holds up to %d", b.Range, e.upto)
	case b.Gap != nil:
		for seq := e.upto + 1; seq <= b.Last(); seq++ {
			e.gaps[seq] = b.Gap.Why
		}
	default:
		h, rs, err := block.NewDecoder().Decode(b.Data)
		if err != nil {
			r.t.Fatal(err)
		}
		for i, reading := range rs {
			if seq := h.First + uint64(i); seq > e.upto {
				e.values[seq], e.anchor[seq], e.at[seq] = reading.Value, h.Anchor, reading.At
			}
		}
	}
	e.upto = b.Last()
	if e.end != nil && !e.end.Closed {
		e.end = nil // data behind an open gap: the epoch lives
	}
}

// lose takes back what lies above upto, as a cloud that lost its tail does.
func (r *receiver) lose(id gateway.EpochID, upto uint64) {
	e := r.of(id)
	for seq := upto + 1; seq <= e.upto; seq++ {
		delete(e.values, seq)
		delete(e.gaps, seq)
	}
	e.upto, e.end = upto, nil
}

// settle is the full audit at the end: every reading of the ledger is with the
// receiver under its name, with its value, or in a gap that says why; what is
// behind the last is within the bound of an open end. It gives the gaps.
func (r *receiver) settle(l *storetest.Ledger) map[gateway.Why]uint64 {
	r.t.Helper()
	gaps := map[gateway.Why]uint64{}
	for id, a := range l.Epochs {
		e := r.of(id)
		for i, want := range a.Values[:min(e.upto, uint64(len(a.Values)))] {
			seq := uint64(i) + 1
			got, held := e.values[seq]
			why, gap := e.gaps[seq]
			if held == gap || held && got != want {
				r.t.Fatalf("%v/%d: held %v as %v, was %v; in a gap %v (%s)", id, seq, held, got, want, gap, why)
			}
			if gap {
				gaps[why]++
			}
		}
		if missing := uint64(len(a.Values)) - min(e.upto, uint64(len(a.Values))); missing > 0 {
			if e.end == nil || e.end.Closed || e.end.AtMost < missing {
				r.t.Fatalf("%v: %d readings behind %d are nowhere; the end is %+v", id, missing, e.upto, e.end)
			}
			gaps[e.end.Why] += missing
		}
	}
	return gaps
}
