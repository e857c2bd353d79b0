package cloud_test

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// thinned is the summary of n readings from first on, of two channels.
func thinned(t testing.TB, e gateway.EpochID, first, n uint64) *wire.Update {
	t.Helper()
	other := &gateway.Channel{Device: "boiler", Quantity: "pressure", Unit: "Pa"}
	b, err := block.NewEncoder().AppendThinned(nil,
		gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: anchor, T0: 60e6, T1: 119e6}, []gateway.Summary{
			{Channel: channel, From: 60e6, Interval: time.Minute, N: n - 1, Min: 1.5, Max: 9, Mean: 4.25, Worst: gateway.Suspect},
			{Channel: other, From: 60e6, Interval: time.Minute, N: 1, Min: 7, Max: 7, Mean: 7},
		})
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Thinned: b}
}

// A thinned range counts like its readings, also where the log holds a part
// of it as it was: readers are told which part.
func TestThinnedRangeOverReadings(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 10, 10))
	if a := p.acked(thinned(t, e, 6, 20)); a.Upto != 25 {
		t.Errorf("acked up to %d, want 25", a.Upto)
	}
	r, err := s.log.Last(t.Context(), s.id)
	if err != nil || r.Kind != record.KindThinned || r.First != 11 || r.N != 15 {
		t.Errorf("record %+v, %v; want a thinned one for 15 from 11", r, err)
	}
	before := s.lastSeq()
	if a := p.acked(thinned(t, e, 6, 20)); a.Upto != 25 || s.lastSeq() != before {
		t.Errorf("again: acked up to %d, the log is at %d, was at %d", a.Upto, s.lastSeq(), before)
	}
	ls := s.lines("?from_seq=8")
	if len(ls) != 5 {
		t.Fatalf("%d lines, want 3 readings and 2 summaries: %+v", len(ls), ls)
	}
	if l := ls[3]; l.Type != "thinned" || l.First != 6 || l.N != 20 || l.From != 11 || l.Count != 19 ||
		*l.Min != 1.5 || *l.Max != 9 || *l.Mean != 4.25 || l.Quality != "suspect" || l.IntervalS != 60 {
		t.Errorf("line %+v", l)
	}
}

// A thinned block that is not what the update says is refused.
func TestThinnedBlockThatLies(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	for name, change := range map[string]func(*wire.Update){
		"more readings":        func(u *wire.Update) { u.N++ },
		"no block":             func(u *wire.Update) { u.Thinned = []byte("nothing") },
		"a block of readings":  func(u *wire.Update) { u.Thinned = readings(t, e, 1, 20, 20).Blocks[0] },
		"summaries as a block": func(u *wire.Update) { u.Blocks, u.Thinned = [][]byte{u.Thinned}, nil },
	} {
		u := thinned(t, e, 1, 20)
		change(u)
		p.send(u)
		if n := recv[*wire.Nack](p); n.Code != wire.NackBlock || n.Retry {
			t.Errorf("%s: nack %+v", name, n)
		}
	}
}
