package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/timelinetest"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestWallTimesInSQL holds readings, gaps and events in the database against
// the table of cases, whichever of the case's anchors they came with, and
// whether they came before the anchors or behind them.
func TestWallTimesInSQL(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]int64{}
	for n, c := range timelinetest.Cases(t) {
		b := newBoard(t, feed, fmt.Sprintf("g%d", n))
		for _, boot := range c.Boots() {
			inTables(b, c, boot, n%2 == 0, random, want)
		}
	}
	run(t, feed, pg.DSN())
	feed.await(t)
	awaitCorrected(t, pg)
	rows := pg.Ask(t, `select gateway, epoch, seq, (extract(epoch from at) * 1000000)::bigint from fieldgate.readings_v
		union all select gateway, epoch, first, (extract(epoch from from_at) * 1000000)::bigint from fieldgate.gaps_v`)
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	for name, wall := range want {
		if row := fmt.Sprintf("%s|%d", name, wall); !slices.Contains(rows, row) {
			t.Errorf("there is no %s", row)
		}
	}
}

// inTables writes one boot of a case into the log, and notes what is wanted.
func inTables(b *board, c timelinetest.Case, boot gateway.BootID, early bool, random *rand.Rand, want map[string]int64) {
	e, seq, anchors := gateway.EpochID(boot), uint64(1), []gateway.Anchor{}
	for _, a := range c.Anchors {
		if a.Boot == boot {
			anchors = append(anchors, a)
		}
	}
	known := anchors
	if len(anchors) == 0 {
		known = []gateway.Anchor{c.First(boot)}
	}
	each := func(write func(timelinetest.Wall)) {
		for _, w := range c.Walls {
			if w.Boot == boot {
				write(w)
				want[fmt.Sprintf("%s|%s|%d", b.id, e, seq)] = w.Bounded
				seq++
			}
		}
	}
	reading := func(w timelinetest.Wall) {
		a := known[min(int(seq)-1, len(known)-1)] // each in its turn, then the newest
		rs := []gateway.Reading{{Channel: boiler, Value: 1, At: w.Stamp}}
		b.update(seq, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1, Blocks: [][]byte{b.blockOf(e, seq, a, rs)}})
	}
	if early {
		each(reading) // before the anchors are told of on their own
	}
	for i, a := range anchors {
		b.event(anchorEvent(e, uint64(i+1), a))
	}
	each(reading)
	each(func(w timelinetest.Wall) {
		a := known[random.IntN(len(known))]
		wa := wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}
		b.update(seq, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: seq, N: 1,
			Gap: &wire.Gap{Why: gateway.WhyDropped, T0: int64(w.Stamp), T1: int64(w.Stamp), Anchor: wa}})
	})
}
