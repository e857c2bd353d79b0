package export

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What is written by hand is what encoding/json would write.
func TestLinesAreJSON(t *testing.T) {
	var out bytes.Buffer
	w := NewNDJSON(&out, "g")
	for _, v := range []float64{0, 1, -1.5, 1e6, 123456789.125, 1e-7, 1e21, 5e300, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		out.Reset()
		ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "\"<µ>\n"}
		if err := w.reading(&readingLine{channel: ch, value: v, wall: cloudtest.Day0.UnixMicro() + 86399_999_999,
			quality: "good", time: "ntp", seq: 7}); err != nil || w.Flush() != nil {
			t.Fatal(err)
		}
		var l struct {
			Value     *float64
			Unit      string
			Timestamp string
		}
		if err := json.Unmarshal(out.Bytes(), &l); err != nil || *l.Value != v || l.Unit != ch.Unit || l.Timestamp != "2026-10-01T23:59:59.999Z" {
			t.Errorf("%s: %v", out.Bytes(), err)
		}
		if want, _ := json.Marshal(v); !bytes.Contains(out.Bytes(), append([]byte(`"value":`), append(want[:len(want):len(want)], ',')...)) &&
			math.Abs(v) > 1e-6 && math.Abs(v) < 1e21 {
			t.Errorf("%s: want the value %s", out.Bytes(), want)
		}
	}
	for _, us := range []int64{-1, 0, 1, dayUS - 1, dayUS, cloudtest.Day0.UnixMicro(), 253402300799_999_999} {
		var c clockText
		if got, want := string(c.append(nil, us)), time.UnixMicro(us).UTC().Format(ledger.TimeLayout); got != want {
			t.Errorf("%d is %s, want %s", us, got, want)
		}
	}
}

// BenchmarkLines is the cost of a reading from the block to the line.
func BenchmarkLines(b *testing.B) {
	h := cloudtest.NewHistory()
	e := gateway.EpochID{0xe}
	var rs []gateway.Reading
	for i := range 4000 {
		rs = append(rs, gateway.Reading{Channel: cloudtest.Channel, Value: 20 + float64(i%100)/100, At: gateway.Stamp(i * 1e6)})
	}
	data, err := block.NewEncoder().Append(nil,
		gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 1}, Anchor: cloudtest.BootAnchor(e)}, rs)
	if err != nil {
		b.Fatal(err)
	}
	h.Open("g", true, e)
	h.Send("g", &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 4000, Blocks: [][]byte{data}})
	p, err := Open(b.Context(), h, &cloudtest.KV{}, "g", &ledger.Question{Readings: true}, block.NewDecoder())
	if err != nil {
		b.Fatal(err)
	}
	p.out = NewNDJSON(&discard{}, "g")
	for b.Loop() {
		if err := p.print(b.Context(), h.Entries[1].Record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4000/b.Elapsed().Seconds(), "readings/s")
}

type discard struct{}

func (*discard) Write(b []byte) (int, error) { return len(b), nil }

// What a spreadsheet would take for a formula is text.
func TestNoFormulasInCSV(t *testing.T) {
	if plain("=1+2") != "'=1+2" || plain("%RH") != "%RH" || plain("") != "" {
		t.Error("formulas")
	}
}
