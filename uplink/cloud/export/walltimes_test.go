package export

import (
	"fmt"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/gateway/timelinetest"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A told is what a line says of the time of one seq.
type told struct {
	wall    string
	quality string
}

// A listener is a Writer that keeps what it is given, readings to the µs.
type listener map[string]told

func name(e gateway.EpochID, seq uint64) string { return fmt.Sprintf("%s %d", e, seq) }

func (w listener) Reading(l *lines.Reading) error {
	w[name(l.Epoch, l.Seq)] = told{fmt.Sprint(l.Wall), l.Time.String()}
	return nil
}

func (w listener) Other(l lines.Line) error {
	g, ok := l.(lines.Gap)
	if !ok {
		return fmt.Errorf("not asked for: %+v", l)
	}
	w[name(g.Epoch, g.First)] = told{g.T0, g.Time}
	return nil
}

func (w listener) Flush() error { return nil }

// TestWallTimesInLines holds the lines of readings and gaps against the table of
// cases, whichever anchor of their boot they came with, before the anchors and
// behind them.
func TestWallTimesInLines(t *testing.T) {
	for n, c := range timelinetest.Cases(t) {
		h, want := cloudtest.NewHistory(), listener{}
		var epochs []gateway.EpochID
		for _, boot := range c.Boots() {
			epochs = append(epochs, gateway.EpochID(boot))
		}
		h.Open("g", true, epochs...)
		for _, boot := range c.Boots() {
			inLog(h, c, boot, n%2 == 0, want)
		}
		p, err := Open(t.Context(), h, &cloudtest.KV{}, "g", &ledger.Question{Readings: true}, block.NewDecoder())
		if err != nil {
			t.Fatal(err)
		}
		got := listener{}
		if err := p.WriteLines(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d lines, want %d", c.Name, len(got), len(want))
		}
		for seq, line := range want {
			if got[seq] != line {
				t.Errorf("%s: %s is %v, want %v", c.Name, seq, got[seq], line)
			}
		}
	}
}

// inLog writes one boot of a case into the log, and notes what is wanted.
func inLog(h *cloudtest.History, c timelinetest.Case, boot gateway.BootID, early bool, want listener) {
	e, seq, anchors := gateway.EpochID(boot), uint64(1), []gateway.Anchor{}
	for _, a := range c.Anchors {
		if a.Boot == boot {
			anchors = append(anchors, a)
		}
	}
	anchorOf := func() gateway.Anchor { // each in its turn, then the newest
		if len(anchors) == 0 {
			return c.First(boot)
		}
		return anchors[min(int(seq)-1, len(anchors)-1)]
	}
	each := func(write func(timelinetest.Wall) string) {
		for _, w := range c.Walls {
			if w.Boot == boot {
				want[name(e, seq)] = told{write(w), w.Quality.String()}
				seq++
			}
		}
	}
	reading := func(w timelinetest.Wall) string {
		data, err := h.Enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: seq}, Anchor: anchorOf()},
			[]gateway.Reading{{Channel: cloudtest.Channel, Value: 1, At: w.Stamp}})
		if err != nil {
			panic(err)
		}
		h.Send("g", &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1, Blocks: [][]byte{data}})
		return fmt.Sprint(w.Wall)
	}
	if early {
		each(reading)
	}
	for i, a := range anchors {
		ev := &wire.Event{Epoch: e, Seq: uint64(i + 1), Kind: gateway.EventAnchor, At: int64(a.From), Anchor: record.WireAnchor(a)}
		body, err := wire.Encode(ev)
		if err != nil {
			panic(err)
		}
		h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: e, First: ev.Seq, Body: body})
	}
	each(reading)
	each(func(w timelinetest.Wall) string {
		h.Send("g", &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1,
			Gap: &wire.Gap{Why: gateway.WhyDropped, T0: int64(w.Stamp), T1: int64(w.Stamp), Anchor: record.WireAnchor(anchorOf())}})
		return time.UnixMicro(w.Wall).UTC().Format(lines.TimeLayout)
	})
}
