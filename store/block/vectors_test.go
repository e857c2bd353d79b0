package block_test

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store/block"
)

var update = flag.Bool("update", false, "write the test vectors anew")

// vectors are the blocks of testdata/vectors: NAME.block in hex, and NAME.txt
// with what is in it, one reading a line.
func vectors() map[string][]gateway.Reading {
	one := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
	odd := &gateway.Channel{Device: "lab", Quantity: "voltage", Unit: "V"}
	door := &gateway.Channel{Device: "door", Quantity: "open", Unit: "/"}
	mixed := []gateway.Reading{}
	for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324, 0.1 + 0.2} {
		at := gateway.Stamp(5_000_000 + i*i*1_000)
		mixed = append(mixed,
			gateway.Reading{Channel: odd, Value: v, At: at, Quality: gateway.Quality(i % 5)},
			gateway.Reading{Channel: door, Value: float64(i / 3), At: at + 7_000})
		if i%2 == 1 { // out of turn, and older than its neighbours
			mixed = append(mixed, gateway.Reading{Channel: one, Value: -12.0625 + float64(i), At: at - 3_000_000, Quality: gateway.Simulated})
		}
	}
	return map[string][]gateway.Reading{
		"one":   {{Channel: one, Value: 61.5, At: 1_000_123}},
		"mixed": mixed,
		"plant": plant.New(7).Append(nil, 100),
	}
}

func vectorHeader() gateway.BlockHeader {
	h := gateway.BlockHeader{Range: gateway.Range{First: 1001}, Anchor: gateway.Anchor{
		From: 1_000_000, Offset: 1_795_413_600_000_000, Quality: gateway.ClockNTP, Error: 2 * time.Millisecond}}
	for i := range h.Epoch {
		h.Epoch[i], h.Anchor.Boot[i] = byte(i), byte(0xf0+i)
	}
	return h
}

// describe writes down what a block holds.
func describe(h gateway.BlockHeader, rs []gateway.Reading) string {
	var b strings.Builder
	a := h.Anchor
	fmt.Fprintf(&b, "epoch %v first %d n %d boot %v from %d offset %d clock %v error_us %d t0 %d t1 %d\n",
		h.Epoch, h.First, h.N, a.Boot, a.From, a.Offset, a.Quality, a.Error.Microseconds(), h.T0, h.T1)
	for i, r := range rs {
		fmt.Fprintf(&b, "%d %s/%s %q %d %v %016x %v\n", h.First+uint64(i), r.Channel.Device, r.Channel.Quantity, r.Channel.Unit,
			r.At, r.Quality, math.Float64bits(r.Value), r.Value)
	}
	return b.String()
}

func TestVectorsOfTheBlockFormat(t *testing.T) {
	for name, rs := range vectors() {
		path := filepath.Join("testdata", "vectors", name)
		if *update {
			writeVector(t, path, rs)
		}
		text, err := os.ReadFile(path + ".block")
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		h, got, err := block.NewDecoder().Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text := describe(h, got); text != string(want) {
			t.Errorf("%s holds\n%swant\n%s", name, text, want)
		}
		if plain := readPlainly(t, b, h); describe(h, plain) != string(want) {
			t.Errorf("%s, read by the words of block.cddl alone, holds\n%s", name, describe(h, plain))
		}
	}
}

func writeVector(t *testing.T, path string, rs []gateway.Reading) {
	b, err := block.NewEncoder().Append(nil, vectorHeader(), rs)
	if err != nil {
		t.Fatal(err)
	}
	h, err := block.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for part := range slices.Chunk(b, 48) {
		lines = append(hex.AppendEncode(lines, part), '\n')
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for suffix, data := range map[string][]byte{".block": lines, ".txt": []byte(describe(h, rs))} {
		if err := os.WriteFile(path+suffix, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readPlainly reads a payload with nothing but a CBOR library, a zstd library
// and block.cddl, as somebody else would. It trusts the block.
func readPlainly(t *testing.T, b []byte, h gateway.BlockHeader) []gateway.Reading {
	t.Helper()
	raw := b[block.HeaderSize:]
	if b[9]&1 == 1 {
		z, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if raw, err = z.DecodeAll(raw, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := binary.BigEndian.Uint32(b[16:]); int(n) != len(raw) {
		t.Fatalf("document of %d bytes, the header says %d", len(raw), n)
	}
	var doc map[int]any
	if err := cbor.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var columns [][]gateway.Reading
	for _, c := range doc[2].([]any) {
		columns = append(columns, plainColumn(c.([]any), doc[1].([]any), integer(doc[0]), h.T0))
	}
	var rs []gateway.Reading
	for _, c := range plainOrder(doc[3].([]any), int(h.N)) {
		rs = append(rs, columns[c][0])
		columns[c] = columns[c][1:]
	}
	return rs
}

func integer(v any) int64 {
	if u, ok := v.(uint64); ok {
		return int64(u)
	}
	return v.(int64)
}

func plainColumn(c, times []any, unit int64, t0 gateway.Stamp) []gateway.Reading {
	ch := &gateway.Channel{Device: c[0].(string), Quantity: c[1].(string), Unit: c[2].(string)}
	var rs []gateway.Reading
	for _, tick := range plainSeries(times[integer(c[3])].([]any)) {
		rs = append(rs, gateway.Reading{Channel: ch, At: t0 + gateway.Stamp(tick*unit)})
	}
	for i, v := range plainSeries(c[5].([]any)) {
		rs[i].Value = float64(v) / math.Pow10(int(integer(c[4])))
	}
	for i, v := range c[6].([]any) {
		rs[i].Value = v.(float64)
	}
	left := rs
	for runs := c[7].([]any); len(runs) > 0; {
		n := len(left)
		if len(runs) > 1 {
			n = int(integer(runs[1]))
		}
		for i := range left[:n] {
			left[i].Quality = gateway.Quality(integer(runs[0]))
		}
		left, runs = left[n:], runs[min(2, len(runs)):]
	}
	return rs
}

func plainSeries(s []any) []int64 {
	if len(s) == 0 {
		return nil
	}
	xs := []int64{integer(s[0])}
	if len(s) == 1 {
		return xs
	}
	degree, step := integer(s[1]), integer(s[2])
	d := step
	for i, code := range s[3:] {
		switch degree {
		case 0:
			xs = append(xs, xs[0]+int64(i+1)*step+integer(code))
		case 1:
			xs = append(xs, xs[i]+step+integer(code))
		case 2:
			d += integer(code)
			xs = append(xs, xs[i]+d)
		}
	}
	return xs
}

func plainOrder(wrong []any, n int) []int {
	after, prev, seen := map[int]int{}, -1, map[int]bool{}
	var order []int
	right := 0
	for range n {
		c, known := after[prev]
		for !known && seen[c] {
			c++
		}
		if len(wrong) > 0 && int(integer(wrong[0])) == right {
			c, wrong, right = int(integer(wrong[1])), wrong[2:], 0
		} else {
			right++
		}
		order = append(order, c)
		after[prev], prev, seen[c] = c, c, true
	}
	return order
}
