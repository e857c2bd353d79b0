package block_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// sums draws summaries as a reducer makes them, of any values.
func sums(random *rand.Rand, value func() float64) (all []gateway.Summary, readings uint64) {
	for c := range 1 + random.IntN(4) {
		ch := &gateway.Channel{Device: "d", Quantity: string(rune('a' + c)), Unit: "V"}
		k := gateway.Stamp(random.IntN(1000))
		for range 1 + random.IntN(40) {
			k += gateway.Stamp(1 + random.IntN(3))
			a, b := value(), value()
			s := gateway.Summary{Channel: ch, From: k * 60_000_000, Interval: time.Minute, N: 1 + random.Uint64N(60), Min: min(a, b), Max: max(a, b),
				Worst: gateway.Quality(random.IntN(5))}
			s.Mean = s.Min
			if random.IntN(9) == 0 {
				s.NaN = random.Uint64N(s.N + 1)
			}
			if s.NaN == s.N {
				s.Min, s.Max, s.Mean = math.NaN(), math.NaN(), math.NaN()
			}
			readings += s.N
			all = append(all, s)
		}
	}
	return all, readings
}

func sameValue(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// What is put into a thinned block comes out: least and greatest values bit
// for bit; it says that it is thinned, and is not read as readings.
func TestThinnedBlockGivesBackWhatWasPutIn(t *testing.T) {
	values := map[string]func(*rand.Rand) float64{
		"two decimals": func(r *rand.Rand) float64 { return float64(r.IntN(10000)-5000) / 100 },
		"any float":    func(r *rand.Rand) float64 { return r.NormFloat64() / 3 },
		"infinities":   func(r *rand.Rand) float64 { return math.Inf(r.IntN(2)*2 - 1) },
		"large":        func(r *rand.Rand) float64 { return math.Ldexp(1, 40+r.IntN(60)) },
	}
	enc, dec := block.NewEncoder(), block.NewDecoder()
	for name, value := range values {
		random := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			want, n := sums(random, func() float64 { return value(random) })
			h := vectorHeader()
			h.T0, h.T1 = want[0].From, want[0].From.Add(time.Hour)
			b, err := enc.AppendThinned(nil, h, want)
			if err != nil {
				t.Fatal(err)
			}
			head, got, err := dec.Summaries(b)
			if err != nil || len(got) != len(want) || head.N != n || !head.Thinned || head.First != h.First || head.T1 != h.T1 {
				t.Fatalf("%s: %d of %d summaries, header %+v, %v", name, len(got), len(want), head, err)
			}
			for i := range want {
				w, g := want[i], got[i]
				if *w.Channel != *g.Channel || !sameValue(w.Min, g.Min) || !sameValue(w.Max, g.Max) || !sameValue(w.Mean, g.Mean) {
					t.Fatalf("%s: %+v came back as %+v", name, w, g)
				}
				w.Channel, w.Min, w.Max, w.Mean = nil, 0, 0, 0
				g.Channel, g.Min, g.Max, g.Mean = nil, 0, 0, 0
				if w != g {
					t.Fatalf("%s: %+v came back as %+v", name, w, g)
				}
			}
			if _, _, err := dec.Decode(b); !errors.Is(err, block.ErrThinned) {
				t.Fatalf("read as readings: %v", err)
			}
		}
	}
}

// A mean has two decimals more than the values.
func TestMeanIsRoundedToTwoDecimalsMore(t *testing.T) {
	ch := &gateway.Channel{Device: "d", Quantity: "q"}
	b, err := block.NewEncoder().AppendThinned(nil, vectorHeader(), []gateway.Summary{
		{Channel: ch, Interval: time.Minute, N: 3, Min: 1.5, Max: 2.5, Mean: 5.5 / 3}})
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := block.NewDecoder().Summaries(b); err != nil || got[0].Mean != 1.833 || got[0].Max != 2.5 {
		t.Errorf("%+v, %v; want a mean of 1.833", got, err)
	}
}

// FuzzSummaries: no bytes make the decoder panic or give more than the header
// allows.
func FuzzSummaries(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		all, _ := sums(random, func() float64 { return float64(random.IntN(100)) / 10 })
		b, err := block.NewEncoder().AppendThinned(nil, vectorHeader(), all)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	dec := block.NewDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= block.HeaderSize {
			binary.BigEndian.PutUint32(b[12:], uint32(len(b)-block.HeaderSize))
			seal(b)
		}
		h, all, err := dec.Summaries(b)
		n := uint64(0)
		for i := range all {
			n += all[i].N
		}
		if err == nil && (n != h.N || n > block.MaxReadings) {
			t.Errorf("%d readings, the header says %d", n, h.N)
		}
	})
}
