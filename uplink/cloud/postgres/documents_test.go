package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The queries in cloud.md give what it says that they give.
func TestQueriesOfTheDocuments(t *testing.T) {
	queries := e2e.Blocks(t, "../../../packaging/doc/cloud.md", "sql")
	if len(queries) != 2 {
		t.Fatalf("cloud.md has %d queries, want 2", len(queries))
	}
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "plant-7")
	began := time.Now().Add(-3 * time.Hour).Truncate(time.Hour) // three hours ago, or less
	a := gateway.Anchor{Boot: gateway.BootID{1}, Offset: began.UnixMicro(), Quality: gateway.ClockNTP}
	wa := wire.Anchor{Boot: a.Boot, Offset: a.Offset, Quality: a.Quality}
	b.send(epochID(1), 1, 7199, a) // a second apart, until two hours later
	b.update(7200, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 7200, N: 60,
		Gap: &wire.Gap{Why: gateway.WhyDropped, T0: 7200e6, T1: 7259e6, Anchor: wa}})
	b.update(7260, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 7260,
		End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 5, T0: 7260e6, T1: 7265e6, Anchor: &wa}})
	closed := uint64(3)
	b.send(epochID(2), 1, 3, good(2))
	b.update(4, &wire.Update{Lane: wire.LaneLive, Epoch: epochID(2), First: 4, End: &wire.End{Closed: &closed}})
	newBoard(t, feed, "plant-8").send(epochID(3), 1, 10, a)
	run(t, feed, pg.DSN())
	feed.await(t)
	stamp := func(d time.Duration) string { return began.Add(d).UTC().Format("2006-01-02 15:04:05") + "+00" }
	wantRows(t, pg.Ask(t, "set timezone = 'UTC'; "+queries[0]),
		stamp(0)+"|3599|1|1800|3599", stamp(time.Hour)+"|3600|3600|5399.5|7199")
	wantRows(t, pg.Ask(t, "set timezone = 'UTC'; "+queries[1]),
		epochID(1).String()+"|7200|60|dropped|"+stamp(2*time.Hour)+"|"+stamp(2*time.Hour+59*time.Second),
		epochID(1).String()+"|7260|5|unclean_stop|"+stamp(2*time.Hour+time.Minute)+"|"+stamp(2*time.Hour+65*time.Second))
	pg.Query(t, "analyze")
	plan := strings.Join(pg.Ask(t, "set enable_seqscan = off; explain "+queries[0]), "\n")
	if !strings.Contains(plan, "readings_by_channel") {
		t.Errorf("the index of times is of no use:\n%s", plan)
	}
}
