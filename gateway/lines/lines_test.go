package lines

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// day0 is 2026-10-01, in µs since 1970.
const day0 = 1790812800_000_000

// What is written by hand is what encoding/json would write.
func TestLinesAreJSON(t *testing.T) {
	var out bytes.Buffer
	w := NewNDJSON(&out, "g")
	for _, v := range []float64{0, 1, -1.5, 1e6, 123456789.125, 1e-7, 1e21, 5e300, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		out.Reset()
		ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "\"<µ>\n"}
		if err := w.Reading(&Reading{Channel: ch, Value: v, Wall: day0 + 86399_999_999,
			Quality: gateway.Good, Time: gateway.ClockNTP, Seq: 7}); err != nil || w.Flush() != nil {
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
	for _, us := range []int64{-1, 0, 1, dayUS - 1, dayUS, day0, 253402300799_999_999} {
		var c clockText
		if got, want := string(c.append(nil, us)), time.UnixMicro(us).UTC().Format(TimeLayout); got != want {
			t.Errorf("%d is %s, want %s", us, got, want)
		}
	}
}

// What a spreadsheet would take for a formula is text.
func TestNoFormulasInCSV(t *testing.T) {
	if plain("=1+2") != "'=1+2" || plain("%RH") != "%RH" || plain("") != "" {
		t.Error("formulas")
	}
}

// TestGolden holds every line, in both formats, to the bytes that api.md
// promises. A change of these files is a change for the programs of others.
func TestGolden(t *testing.T) {
	e, u := gateway.EpochID{0: 0xe, 15: 1}, gateway.Range{Epoch: gateway.EpochID{0: 0xe, 15: 1}, First: 12, N: 8}
	line := gateway.Timeline{{Offset: day0, Quality: gateway.ClockNTP}}
	ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
	sum := &gateway.Summary{Channel: ch, From: 6e6, Interval: 90 * time.Second, N: 8, Min: 1, Max: 2.5, Mean: math.NaN(),
		Worst: gateway.Suspect}
	gap := gateway.Gap{Why: gateway.WhyDropped, T0: 1e6, T1: 2_000_001}
	for file, open := range map[string]func(io.Writer, string) Writer{"lines.ndjson": NewNDJSON, "lines.csv": NewCSV} {
		var out bytes.Buffer
		w := open(&out, "plant-7")
		for i, v := range []float64{20.5, math.NaN()} {
			l := Reading{Epoch: e, Seq: uint64(i + 1)}
			l.Of(&gateway.Reading{Channel: ch, Value: v, At: 1_234_567, Quality: gateway.Simulated}, line[0])
			if err := w.Reading(&l); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range []Line{
			NewGap("plant-7", u, gap, line), NewThinned("plant-7", u, 14, sum, line), NewClosed("plant-7", e, 19),
			NewOpenEnd("plant-7", e, 19, gateway.End{Why: gateway.WhyUncleanStop, AtMost: 7, T0: 3e6, T1: 4e6}, line),
			NewOpenEnd("plant-7", e, 19, gateway.End{Why: gateway.WhyUncleanStop, AtMost: 7, T0: 3e6}, line),
			NewOpenEnd("plant-7", e, 19, gateway.End{Why: gateway.WhyUnknown, AtMost: gateway.AtMostUnknown}, nil),
			Event{Type: "event", GatewayID: "plant-7", Kind: gateway.EventAlarm, DeviceID: "boiler", Timestamp: "2026-10-01T00:00:01.000Z",
				Time: "ntp", N: 1, Body: []byte(`{"code":"x"}`), Epoch: e, Seq: 3},
			NewElsewhere(WithCloud, "plant-7", u), NewElsewhere(Unreadable, "plant-7", u),
		} {
			if err := w.Other(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%v; %s is\n%s\nwant\n%s", err, file, out.Bytes(), want)
		}
	}
}
