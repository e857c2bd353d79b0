package store

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
)

// A plainIndex is the index of an epoch as a map: which volumes hold a reading.
type plainIndex map[uint64][]*volume

func (p plainIndex) holds(seq uint64, v *volume) bool { return slices.Contains(p[seq], v) }

// drawRuns puts runs of readings into both, as commits, rewrites and what a
// power cut leaves of them do: mostly one behind the other, now and then a copy
// of what another volume holds, now and then with a hole before it.
func drawRuns(t *rapid.T, e *epoch, volumes []*volume) plainIndex {
	plain := plainIndex{}
	for range rapid.IntRange(1, 12).Draw(t, "runs") {
		first := e.inVolumes() + 1
		switch rapid.IntRange(0, 4).Draw(t, "where") {
		case 0:
			first += rapid.Uint64Range(1, 5).Draw(t, "hole")
		case 1:
			first = rapid.Uint64Range(1, first).Draw(t, "copy")
		}
		v := rapid.SampledFrom(volumes).Draw(t, "volume")
		last := first + rapid.Uint64Range(0, 6).Draw(t, "more")
		if slices.ContainsFunc(e.spans, func(s span) bool { return s.volume == v && s.first <= last && first <= s.last }) {
			continue // no volume holds a reading twice
		}
		e.insert(span{first, last, v})
		for seq := first; seq <= last; seq++ {
			plain[seq] = append(plain[seq], v)
		}
	}
	return plain
}

// What the index of an epoch answers is what a plain list of its readings
// says.
func TestIndexOfAnEpochAgainstAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		volumes := []*volume{{number: 1}, {number: 2}, {number: 3, thinned: true}}
		e := &epoch{}
		plain := drawRuns(t, e, volumes)
		if rapid.Bool().Draw(t, "remove") {
			gone := rapid.SampledFrom(volumes).Draw(t, "gone")
			e.remove(gone)
			for seq := range plain {
				plain[seq] = slices.DeleteFunc(plain[seq], func(v *volume) bool { return v == gone })
			}
		}
		last, held := uint64(0), uint64(0)
		for seq, vs := range plain {
			if len(vs) > 0 {
				last, held = max(last, seq), held+1
			}
		}
		if got := e.inVolumes(); got != last {
			t.Fatalf("the last reading in volumes is %d, want %d", got, last)
		}
		if got, _ := e.stored(); got != held {
			t.Fatalf("%d readings are stored, want %d", got, held)
		}
		if !slices.IsSortedFunc(e.spans, func(a, b span) int { return int(a.first) - int(b.first) }) {
			t.Fatalf("spans out of order: %+v", e.spans)
		}
		for seq := uint64(1); seq <= last+2; seq++ {
			in, next := e.find(seq)
			for _, v := range volumes {
				if found := slices.ContainsFunc(in, func(s span) bool { return s.volume == v }); found != plain.holds(seq, v) {
					t.Fatalf("reading %d in volume %d: %v", seq, v.number, found)
				}
			}
			if next != 0 && (next <= seq || len(plain[next]) == 0) {
				t.Fatalf("behind %d stands %d, which nothing holds", seq, next)
			}
		}
	})
}

// The holes that the audit finds are the readings that no volume, no page of
// the journal and nothing discarded covers.
func TestHolesAgainstAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(Options{Dir: "/none"})
		e := &epoch{ordinal: 1}
		plain := drawRuns(t, e, []*volume{{number: 1}, {number: 2}})
		if rapid.Bool().Draw(t, "in the journal") {
			first := rapid.Uint64Range(1, e.inVolumes()+4).Draw(t, "piece")
			p := &piece{ordinal: 1, slot: 2}
			p.First, p.N = first, rapid.Uint64Range(1, 5).Draw(t, "n")
			s.journal.pieces = append(s.journal.pieces, p)
			for seq := first; seq <= p.Last(); seq++ {
				plain[seq] = append(plain[seq], nil)
			}
		}
		e.Forgotten = rapid.Uint64Range(0, e.inVolumes()+2).Draw(t, "forgotten")
		e.Dropped = rapid.Uint64Range(0, e.inVolumes()+2).Draw(t, "dropped")
		e.Last = rapid.Uint64Range(0, e.inVolumes()+6).Draw(t, "last")
		want, end := uint64(0), e.Last
		for seq := range plain {
			end = max(end, seq)
		}
		for seq := max(e.Forgotten, e.Dropped) + 1; seq <= end; seq++ {
			if len(plain[seq]) == 0 {
				want++
			}
		}
		if got := s.holes(e); got != want {
			t.Fatalf("%d readings are missing, want %d of %+v", got, want, e)
		}
	})
}

// Epochs are found by their ordinal, and one that is not known gets its place.
func TestAdoptedEpochsStandInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(Options{Dir: "/none"})
		known := map[uint64]gateway.EpochID{}
		for range rapid.IntRange(1, 20).Draw(t, "epochs") {
			id, ordinal := gateway.NewEpochID(), rapid.Uint64Range(0, 12).Draw(t, "ordinal")
			e := s.epochOf(gateway.BlockHeader{Range: gateway.Range{Epoch: id}}, ordinal)
			if again := s.epochOf(gateway.BlockHeader{Range: gateway.Range{Epoch: id}}, ordinal+1); again != e {
				t.Fatal("an epoch was adopted twice")
			}
			if other, taken := known[e.ordinal]; taken {
				t.Fatalf("%v and %v share ordinal %d", other, id, e.ordinal)
			}
			known[e.ordinal] = id
			if e.AtMost != gateway.AtMostUnknown {
				t.Fatal("nobody knows how many readings of an adopted epoch are missing")
			}
		}
		for i, e := range s.order {
			if i > 0 && s.order[i-1].ordinal >= e.ordinal || s.epochs[e.ID] != e || known[e.ordinal] != e.ID {
				t.Fatalf("epoch %d of %d: %+v", i, len(s.order), e)
			}
		}
		if next := s.nextOrdinal(); next <= s.order[len(s.order)-1].ordinal {
			t.Fatalf("the next ordinal is %d", next)
		}
	})
}
