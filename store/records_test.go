package store

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
)

// drawRecords gives records as they are found in a damaged file: those of two
// epochs, in any order, with older copies that end sooner or begin later.
func drawRecords(t *rapid.T) (all []record, covered map[gateway.Name]bool) {
	covered = map[gateway.Name]bool{}
	for range rapid.IntRange(1, 15).Draw(t, "records") {
		ordinal := rapid.Uint64Range(1, 2).Draw(t, "epoch")
		id := gateway.EpochID{byte(ordinal)}
		r := record{ordinal: ordinal, BlockHeader: gateway.BlockHeader{Range: gateway.Range{
			Epoch: id, First: 4*rapid.Uint64Range(0, 8).Draw(t, "first") + 1, N: 4 * rapid.Uint64Range(1, 3).Draw(t, "n"),
		}}}
		all = append(all, r)
	}
	seed := rapid.Uint64().Draw(t, "order")
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, r := range all {
		for seq := r.First; seq <= r.Last(); seq++ {
			covered[gateway.Name{Epoch: r.Epoch, Seq: seq}] = true
		}
	}
	return all, covered
}

// Of what was found in a damaged file no reading is kept twice, and with the
// gaps between, an epoch's records follow each other without a hole.
func TestSavedRecordsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, covered := drawRecords(t)
		kept, err := withGaps(withoutCopies(all))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range kept {
			if i > 0 && kept[i-1].ordinal == r.ordinal && kept[i-1].Last()+1 != r.First {
				t.Fatalf("%v follows %v", r.Range, kept[i-1].Range)
			}
			if i > 0 && kept[i-1].ordinal > r.ordinal {
				t.Fatal("epochs out of order")
			}
			if r.gap == "" {
				continue
			}
			again, err := parseRecord(r.key(), r.value)
			if err != nil || again.First != r.First || again.N != r.N || again.gap != gateway.WhyUnknown {
				t.Fatalf("the gap %v is read back as %+v, %v", r.Range, again, err)
			}
		}
		for _, r := range kept {
			for seq := r.First; seq <= r.Last() && r.gap == ""; seq++ {
				if n := (gateway.Name{Epoch: r.Epoch, Seq: seq}); !covered[n] {
					t.Fatalf("%v was in no record, or is kept twice", n)
				}
				delete(covered, gateway.Name{Epoch: r.Epoch, Seq: seq})
			}
		}
	})
}

// A record that holds a part of another, and more, is told from a mere copy:
// volumes with such cannot be merged.
func TestOverlapIsToldFromACopy(t *testing.T) {
	rec := func(ordinal, first, n uint64) record {
		return record{ordinal: ordinal, BlockHeader: gateway.BlockHeader{Range: gateway.Range{First: first, N: n}}}
	}
	for name, c := range map[string]struct {
		held []record
		want bool
	}{
		"one behind the other":              {[]record{rec(1, 1, 10), rec(1, 11, 5)}, false},
		"a copy":                            {[]record{rec(1, 1, 10), rec(1, 1, 10)}, false},
		"a copy that begins sooner":         {[]record{rec(1, 1, 10), rec(1, 5, 6)}, false},
		"begins within and goes on":         {[]record{rec(1, 1, 10), rec(1, 5, 10)}, true},
		"an older version that ends sooner": {[]record{rec(1, 1, 10), rec(1, 1, 15)}, false},
		"the same numbers of two epochs":    {[]record{rec(1, 1, 10), rec(2, 5, 10)}, false},
		"with a hole between":               {[]record{rec(1, 1, 10), rec(1, 20, 10)}, false},
		"the last of three goes on":         {[]record{rec(1, 1, 10), rec(1, 11, 10), rec(1, 15, 20)}, true},
		"behind a copy it is still found":   {[]record{rec(1, 1, 10), rec(1, 1, 10), rec(1, 8, 10)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			kept := withoutCopies(append([]record(nil), c.held...))
			if got := overlap(c.held, kept); got != c.want {
				t.Errorf("overlap: %v, of %d records %d are kept", got, len(c.held), len(kept))
			}
		})
	}
}

// Small volumes in a row are merged, eight at least and 4 MiB at most; one that
// is being written, or was found not worth it, parts them.
func TestWhichSmallVolumesAreMerged(t *testing.T) {
	const small, big = 100 << 10, 2 << 20
	volumes := func(sizes ...int64) []*volume {
		var all []*volume
		for i, size := range sizes {
			all = append(all, &volume{number: uint64(i + 1), bytes: size})
		}
		return all
	}
	times := func(n int, size int64) []int64 {
		var all []int64
		for range n {
			all = append(all, size)
		}
		return all
	}
	for name, c := range map[string]struct {
		sizes       []int64
		change      func([]*volume) *volume // gives the one being written
		first, last uint64                  // 0: none are merged
	}{
		"seven are too few":            {times(7, small), nil, 0, 0},
		"eight":                        {times(8, small), nil, 1, 8},
		"behind a big one":             {append([]int64{big}, times(9, small)...), nil, 2, 10},
		"a big one parts them":         {append(append(times(5, small), big), times(8, small)...), nil, 7, 14},
		"no more than 4 MiB together":  {times(20, 500<<10), nil, 1, 8},
		"not the one being written":    {times(8, small), func(vs []*volume) *volume { return vs[7] }, 0, 0},
		"nor one that is not worth it": {times(8, small), func(vs []*volume) *volume { vs[3].final = true; return nil }, 0, 0},
		"downsampled ones by their own": {times(12, small),
			func(vs []*volume) *volume { vs[0].thinned, vs[1].thinned = true, true; return nil }, 3, 12},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(Options{Dir: "/none"})
			s.volumes = volumes(c.sizes...)
			if c.change != nil {
				s.current = c.change(s.volumes)
			}
			got := s.smallOnesLocked()
			if c.first == 0 {
				if got != nil {
					t.Errorf("%d volumes are merged", len(got))
				}
				return
			}
			if len(got) == 0 || got[0].number != c.first || got[len(got)-1].number != c.last {
				t.Errorf("%d volumes are merged, want %d to %d", len(got), c.first, c.last)
			}
		})
	}
}
