package block_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store/block"
)

// same tells whether two readings are the same bit for bit, their channels by
// name.
func same(a, b gateway.Reading) bool {
	return *a.Channel == *b.Channel && a.At == b.At && a.Quality == b.Quality &&
		math.Float64bits(a.Value) == math.Float64bits(b.Value)
}

func diff(got, want []gateway.Reading) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d readings, want %d", len(got), len(want))
	}
	for i := range want {
		if !same(got[i], want[i]) {
			return fmt.Errorf("reading %d is %+v of %+v, want %+v of %+v", i, got[i], *got[i].Channel, want[i], *want[i].Channel)
		}
	}
	return nil
}

func drawHeader(t *rapid.T) gateway.BlockHeader {
	h := gateway.BlockHeader{Anchor: gateway.Anchor{
		From:    gateway.Stamp(rapid.Int64().Draw(t, "from")),
		Offset:  rapid.Int64().Draw(t, "offset"),
		Quality: gateway.ClockQuality(rapid.IntRange(0, 3).Draw(t, "clock")),
		Error:   time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "error")) * time.Microsecond,
	}}
	h.First = rapid.Uint64Range(1, 1<<60).Draw(t, "first")
	copy(h.Epoch[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "epoch"))
	copy(h.Anchor.Boot[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "boot"))
	return h
}

// drawReadings draws readings of few channels, each with values of one kind,
// in a more or less regular order.
func drawReadings(t *rapid.T) []gateway.Reading {
	id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)
	number := rapid.OneOf(
		rapid.Map(rapid.Int64Range(-1e6, 1e6), func(i int64) float64 { return float64(i) / 100 }),
		rapid.Map(rapid.IntRange(0, 1), func(i int) float64 { return float64(i) }),
	)
	odd := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
		math.NaN(), math.Float64frombits(0x7ff0_0000_0000_0001), math.Float64frombits(0xfff8_0000_0000_1234),
		math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1 << 53, 1<<53 + 2, -1 << 62, 5e-324, 0.1 + 0.2, 1e300,
	}))
	channels := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *gateway.Channel {
		return &gateway.Channel{Device: id.Draw(t, "device"), Quantity: id.Draw(t, "quantity"),
			Unit: rapid.SampledFrom([]string{"", "Cel", "%RH"}).Draw(t, "unit")}
	}), 1, 5).Draw(t, "channels")
	jump := rapid.OneOf(rapid.Just(int64(1_000_000)), rapid.Int64Range(0, 5000), rapid.Int64())
	wild := rapid.Bool().Draw(t, "wild")
	n := rapid.IntRange(1, 200).Draw(t, "n")
	rs, at := make([]gateway.Reading, n), rapid.Int64Range(0, 1<<50).Draw(t, "at")
	for i := range rs {
		c, value := i%len(channels), number
		if wild {
			c, value = rapid.IntRange(0, len(channels)-1).Draw(t, "channel"), rapid.OneOf(number, odd)
		}
		at += jump.Draw(t, "jump")
		rs[i] = gateway.Reading{Channel: channels[c], Value: value.Draw(t, "value"), At: gateway.Stamp(at),
			Quality: gateway.Quality(max(0, rapid.IntRange(-20, 4).Draw(t, "quality")))}
	}
	return rs
}

func TestWhatGoesInComesOut(t *testing.T) {
	enc, dec := block.NewEncoder(), block.NewDecoder() // reused: nothing of one block may show in the next
	rapid.Check(t, func(t *rapid.T) {
		h, rs := drawHeader(t), drawReadings(t)
		prefix := []byte("before")
		b, err := enc.Append(prefix, h, rs)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("what was in dst is gone")
		}
		b = b[len(prefix):]
		got, decoded, err := dec.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := diff(decoded, rs); err != nil {
			t.Fatal(err)
		}
		h.N, h.T0, h.T1 = uint64(len(rs)), rs[0].At, rs[0].At
		for _, r := range rs {
			h.T0, h.T1 = min(h.T0, r.At), max(h.T1, r.At)
		}
		if got != h {
			t.Fatalf("header %+v, want %+v", got, h)
		}
		if parsed, err := block.Parse(b); err != nil || parsed != h {
			t.Fatalf("Parse gives %+v, %v", parsed, err)
		}
	})
}

// Numbers that are no decimals stay what they are, to the bit: scaling once
// made 0 of the smallest number, and lost the sign of a negative zero.
func TestNumbersThatAreNoDecimalsKeepEveryBit(t *testing.T) {
	negative := math.Copysign(0, -1)
	for _, values := range [][]float64{
		{math.SmallestNonzeroFloat64}, {negative}, {0, negative, 0}, {-0.49249677643616074, 0, negative, math.NaN(), -1.1937496066093445},
		{1, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64}, {math.MaxFloat64, math.Inf(-1), negative},
	} {
		var rs []gateway.Reading
		for i, v := range values {
			rs = append(rs, gateway.Reading{Channel: &gateway.Channel{Device: "d", Quantity: "q"}, Value: v, At: gateway.Stamp(i + 1)})
		}
		b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{First: 1}}, rs)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := block.NewDecoder().Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := diff(got, rs); err != nil {
			t.Errorf("%v: %v", values, err)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	b, _ := sample(t, 50)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, err := block.Parse(b); !errors.Is(err, block.ErrCorrupt) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for n := range b {
		if _, err := block.Parse(b[:n]); !errors.Is(err, block.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// TestForgedHeaders gives blocks whose checksum is right but whose header
// promises what must not be allocated.
func TestForgedHeaders(t *testing.T) {
	for name, forge := range map[string]func(b []byte){
		"readings": func(b []byte) { binary.BigEndian.PutUint32(b[20:], block.MaxReadings+1) },
		"document": func(b []byte) { binary.BigEndian.PutUint32(b[16:], block.MaxRaw+1) },
		"ratio":    func(b []byte) { binary.BigEndian.PutUint32(b[16:], uint32(block.MaxRatio*len(b))) },
		"one more": func(b []byte) { binary.BigEndian.PutUint32(b[20:], 51) },
		"one less": func(b []byte) { binary.BigEndian.PutUint32(b[20:], 49) },
		"nothing":  func(b []byte) { binary.BigEndian.PutUint32(b[20:], 0) },
		"seq 0":    func(b []byte) { binary.BigEndian.PutUint64(b[24:], 0) },
		"seq wrap": func(b []byte) { binary.BigEndian.PutUint64(b[24:], math.MaxUint64) },
		"times":    func(b []byte) { binary.BigEndian.PutUint64(b[96:], 0) },
	} {
		b, _ := sample(t, 50)
		forge(b)
		seal(b)
		_, _, err := block.NewDecoder().Decode(b)
		if !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		early := name == "readings" || name == "document" || name == "ratio"
		if early != errors.Is(err, block.ErrLimit) {
			t.Errorf("%s: refused for another reason: %v", name, err)
		}
	}
	b, _ := sample(t, 50)
	b[8] = 2
	seal(b)
	if _, err := block.Parse(b); !errors.Is(err, block.ErrVersion) {
		t.Errorf("later version: %v", err)
	}
}

// forged makes a block of two readings with a document of our own.
func forged(t *testing.T, document any) []byte {
	t.Helper()
	raw, ok := document.([]byte)
	if !ok {
		var err error
		if raw, err = cbor.Marshal(document); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := sample(t, 2)
	b = append(b[:block.HeaderSize:block.HeaderSize], raw...)
	b[9] = 0
	binary.BigEndian.PutUint32(b[12:], uint32(len(raw)))
	binary.BigEndian.PutUint32(b[16:], uint32(len(raw)))
	seal(b)
	return b
}

// TestForgedDocuments gives blocks whose header is right and whose document
// is CBOR, but does not make sense.
func TestForgedDocuments(t *testing.T) {
	type a = []any
	type doc = map[int]any
	channel := func(time, decimals int, ints, floats, quality a) a {
		return a{"d", "q", "Cel", time, decimals, ints, floats, quality}
	}
	two := channel(0, 1, a{0, 1, 1, 0}, a{}, a{})
	times := a{a{0, 1, 1, 0}}
	good := doc{0: 1, 1: times, 2: a{two}, 3: a{1, 0}}
	if _, rs, err := block.NewDecoder().Decode(forged(t, good)); err != nil || len(rs) != 2 || rs[1].Value != 0.1 {
		t.Fatalf("a good document: %v, %v", rs, err)
	}
	for name, d := range map[string]any{
		"nothing":                 doc{},
		"no channels":             doc{0: 1, 1: times, 2: a{}, 3: a{1, 0}},
		"no times":                doc{0: 1, 1: a{}, 2: a{two}, 3: a{1, 0}},
		"too many times":          doc{0: 1, 1: a{a{0, 1, 1, 0}, a{5}}, 2: a{two}, 3: a{1, 0}},
		"empty time":              doc{0: 1, 1: a{a{}}, 2: a{two}, 3: a{1, 0}},
		"time without codes":      doc{0: 1, 1: a{a{0, 1, 1}}, 2: a{two}, 3: a{1, 0}},
		"degree 3":                doc{0: 1, 1: a{a{0, 3, 1, 0}}, 2: a{two}, 3: a{1, 0}},
		"13 decimals":             doc{0: 1, 1: times, 2: a{channel(0, 13, a{0, 1, 1, 0}, a{}, a{})}, 3: a{1, 0}},
		"another time":            doc{0: 1, 1: times, 2: a{channel(1, 0, a{0, 1, 1, 0}, a{}, a{})}, 3: a{1, 0}},
		"no values":               doc{0: 1, 1: times, 2: a{channel(0, 0, a{}, a{}, a{})}, 3: a{1, 0}},
		"three values":            doc{0: 1, 1: times, 2: a{channel(0, 0, a{0, 1, 1, 0, 0}, a{}, a{})}, 3: a{1, 0}},
		"three floats":            doc{0: 1, 1: times, 2: a{channel(0, 0, a{}, a{1.5, 2.5, 3.5}, a{})}, 3: a{1, 0}},
		"four readings":           doc{0: 1, 1: times, 2: a{two, two}, 3: a{0, 0}},
		"one reading":             doc{0: 1, 1: a{a{0}}, 2: a{channel(0, 0, a{1}, a{}, a{})}, 3: a{1, 0}},
		"one time for two values": doc{0: 1, 1: a{a{0}}, 2: a{two}, 3: a{1, 0}},
		"order: 1 before 0":       doc{0: 1, 1: a{a{0}}, 2: a{channel(0, 0, a{1}, a{}, a{}), channel(0, 0, a{1}, a{}, a{})}, 3: a{0, 1}},
		"odd order":               doc{0: 1, 1: times, 2: a{two}, 3: a{0}},
		"order: unknown":          doc{0: 1, 1: times, 2: a{two}, 3: a{0, 7}},
		"order: next, unknown":    doc{0: 1, 1: times, 2: a{two}, 3: a{1, 1}},
		"order: one too often":    doc{0: 1, 1: a{a{0}}, 2: a{channel(0, 0, a{1}, a{}, a{}), channel(0, 0, a{1}, a{}, a{})}, 3: a{1, 0}},
		"text for a number":       doc{0: "1", 1: times, 2: a{two}, 3: a{1, 0}},
		"not a map":               a{1, 2},
		"cut off":                 []byte{0xa4, 0, 1, 1, 0x81},
		"key twice":               []byte{0xa2, 0, 1, 0, 1},
		"array of 2^32":           []byte{0xa1, 3, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0},
		"indefinite length":       []byte{0xa1, 3, 0x9f, 0xff},
		"something behind":        []byte{0xa0, 0},
		"nesting without bound":   bytes.Repeat([]byte{0x81}, 1000),
	} {
		if _, rs, err := block.NewDecoder().Decode(forged(t, d)); !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, rs, err)
		}
	}
}

func seal(b []byte) {
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli)))
}

func sample(t testing.TB, n int) ([]byte, []gateway.Reading) {
	t.Helper()
	rs := plant.New(1).Append(nil, n)
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{First: 1}}, rs)
	if err != nil {
		t.Fatal(err)
	}
	return b, rs
}

func TestLimitsOfTheEncoder(t *testing.T) {
	enc := block.NewEncoder()
	h := gateway.BlockHeader{Range: gateway.Range{First: 1}}
	many := make([]gateway.Reading, block.MaxReadings+1)
	for i := range many {
		many[i].Channel = &gateway.Channel{Device: "d", Quantity: fmt.Sprint("q", i%(block.MaxChannels+1))}
	}
	for name, rs := range map[string][]gateway.Reading{"none": nil, "too many": many, "too many channels": many[:block.MaxChannels+1]} {
		if b, err := enc.Append([]byte("x"), h, rs); !errors.Is(err, block.ErrLimit) || string(b) != "x" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	flat := make([]gateway.Reading, block.MaxReadings)
	ch := &gateway.Channel{Device: "d", Quantity: "q"}
	for i := range flat {
		flat[i] = gateway.Reading{Channel: ch, Value: 1, At: gateway.Stamp(i)}
	}
	b, err := enc.Append(nil, h, flat)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := block.NewDecoder().Decode(b); err != nil || diff(got, flat) != nil {
		t.Fatalf("a block of one constant: %v", err)
	}
	for i := range flat {
		flat[i].Value = math.Float64frombits(uint64(i) * 0x9e3779b97f4a7c15)
		flat[i].At = gateway.Stamp(uint64(i*i) * 0x9e3779b97f4a7c15)
	}
	if _, err := enc.Append(nil, h, flat); !errors.Is(err, block.ErrLimit) {
		t.Errorf("more than %d bytes: %v", block.MaxRaw, err)
	}
}

func TestChannelsKeepTheirPointer(t *testing.T) {
	b, _ := sample(t, 40)
	dec := block.NewDecoder()
	_, rs, err := dec.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	first := rs[0].Channel
	if rs[20].Channel != first {
		t.Error("two pointers for one channel in a block")
	}
	if _, rs, err = dec.Decode(b); err != nil || rs[0].Channel != first {
		t.Errorf("another pointer in the next block (%v)", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{1, 3, 20, 300} {
		b, _ := sample(f, n)
		f.Add(b)
	}
	enc, dec := block.NewEncoder(), block.NewDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= block.HeaderSize {
			binary.BigEndian.PutUint32(b[12:], uint32(len(b)-block.HeaderSize))
			seal(b) // or the fuzzer would have to find the checksum first
		}
		h, rs, err := dec.Decode(b)
		if err != nil {
			if !errors.Is(err, block.ErrCorrupt) && !errors.Is(err, block.ErrVersion) && !errors.Is(err, block.ErrThinned) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		want := append([]gateway.Reading(nil), rs...)
		again, err := enc.Append(nil, h, want)
		if errors.Is(err, block.ErrLimit) {
			return // a foreign encoder may have been better
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, rs, err = dec.Decode(again); err != nil || diff(rs, want) != nil {
			t.Fatalf("decoded, encoded, decoded: %v", err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{20, 100, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			enc, rs := block.NewEncoder(), plant.New(1).Append(nil, 10*n)
			dst, size := []byte(nil), 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				from := i % 10 * n
				dst, _ = enc.Append(dst[:0], gateway.BlockHeader{}, rs[from:from+n])
				size += len(dst)
			}
			b.ReportMetric(float64(size)/float64(b.N*n), "B/reading")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/reading")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{20, 100, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data, _ := sample(b, n)
			dec := block.NewDecoder()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := dec.Decode(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/reading")
		})
	}
}
