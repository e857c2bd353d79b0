package postgres_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A wallCase is one of the table that gateway.Timeline is held against.
type wallCase struct {
	Name    string
	Anchors []struct {
		From, Offset int64
		Quality      string
		ErrUS        int64 `json:"err_us"`
	}
	Walls []struct{ Stamp, Wall int64 }
}

func wallCases(t *testing.T) []wallCase {
	t.Helper()
	text, err := os.ReadFile("../../../gateway/testdata/walltimes.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []wallCase }
	if err := json.Unmarshal(text, &all); err != nil || len(all.Cases) == 0 {
		t.Fatal(err)
	}
	return all.Cases
}

// TestWallTimesInSQL holds readings, gaps and events in the database against
// the table of cases, whichever of the case's anchors they came with, and
// whether they came before the anchors or behind them.
func TestWallTimesInSQL(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]int64{}
	names := []string{"none", "rtc", "session", "ntp"}
	for n, c := range wallCases(t) {
		b := newBoard(t, feed, fmt.Sprintf("g%d", n))
		e, seq, event := epochID(1), uint64(1), uint64(1)
		var anchors []gateway.Anchor
		for _, a := range c.Anchors {
			anchors = append(anchors, gateway.Anchor{Boot: gateway.BootID{1, byte(n)}, From: gateway.Stamp(a.From), Offset: a.Offset,
				Quality: gateway.ClockQuality(slices.Index(names, a.Quality)), Error: gateway.Micros(a.ErrUS)})
		}
		readings := func() {
			for _, w := range c.Walls {
				a := anchors[min(int(seq)-1, len(anchors)-1)] // each in its turn, then the newest
				rs := []gateway.Reading{{Channel: boiler, Value: 1, At: gateway.Stamp(w.Stamp)}}
				b.update(seq, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1, Blocks: [][]byte{b.blockOf(e, seq, a, rs)}})
				want[fmt.Sprintf("%s|%d", b.id, seq)] = w.Wall
				seq++
			}
		}
		if n%2 == 0 {
			readings() // before the anchors are told of on their own
		}
		for _, a := range anchors {
			b.event(anchorEvent(e, event, a))
			event++
		}
		readings()
		for _, w := range c.Walls {
			a := anchors[random.IntN(len(anchors))]
			wa := wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}
			b.update(seq, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1,
				Gap: &wire.Gap{Why: gateway.WhyDropped, T0: w.Stamp, T1: w.Stamp, Anchor: wa}})
			want[fmt.Sprintf("%s|%d", b.id, seq)] = w.Wall
			seq++
		}
	}
	run(t, feed, pg.DSN())
	feed.await(t)
	awaitCorrected(t, pg)
	rows := pg.Ask(t, `select gateway, seq, (extract(epoch from at) * 1000000)::bigint from fieldgate.readings_v
		union all select gateway, first, (extract(epoch from from_at) * 1000000)::bigint from fieldgate.gaps_v`)
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	for name, wall := range want {
		if row := fmt.Sprintf("%s|%d", name, wall); !slices.Contains(rows, row) {
			t.Errorf("there is no %s", row)
		}
	}
}
