package postgres_test

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// noon is when the boots of these tests began, by a good clock.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func good(boot byte) gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID{boot}, Offset: noon.UnixMicro(), Quality: gateway.ClockNTP, Error: time.Millisecond}
}

// run starts a sink that ends when the test or the returned function does.
func run(t testing.TB, feed record.Feed, dsn string) (*postgres.Sink, func()) {
	t.Helper()
	s, err := postgres.New(postgres.Options{Feed: feed, DSN: dsn, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	end := func() { cancel(); running.Wait() }
	t.Cleanup(end)
	return s, end
}

// Everything that a record can hold arrives, in words.
func TestEverythingArrives(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "plant-7")
	e := epochID(1)
	a := good(1)
	wa := wire.Anchor{Boot: a.Boot, Offset: a.Offset, Quality: a.Quality, ErrUS: 1000}
	b.record(record.Record{Kind: record.KindOpen}, &wire.Bye{}) // an open record has no body that counts
	b.event(&wire.Event{Epoch: e, Seq: 1, Kind: gateway.EventBoot, At: 500_000,
		Body: []byte(`{"why":"\u0000"}`), Anchor: wa, Device: "boiler"})
	odd := counting(1, 6)
	odd[1].Value, odd[2].Value, odd[3].Quality, odd[4].Channel = math.NaN(), math.Inf(-1), gateway.Stale,
		&gateway.Channel{Device: "hall", Quantity: "door", Unit: "/\x00"}
	b.update(1, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 6,
		Blocks: [][]byte{b.blockOf(e, 1, a, odd[:3]), b.blockOf(e, 4, a, odd[3:])}})
	// The server held up to 6 already: only 7 and 8 count.
	b.update(7, &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 5, N: 4, Blocks: [][]byte{b.blockOf(e, 5, a, counting(5, 4))}})
	b.update(9, &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 9, N: 10,
		Gap: &wire.Gap{Why: gateway.WhyDropped, T0: 9_000_000, T1: 18_000_000, Anchor: wa}})
	thinned, err := b.enc.AppendThinned(nil,
		gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 17}, Anchor: a, T0: 60_000_000, T1: 180_000_000}, []gateway.Summary{
			{Channel: boiler, From: 60_000_000, Interval: time.Minute, N: 3, NaN: 1, Min: 1, Max: 2, Mean: 1.5},
			{Channel: boiler, From: 120_000_000, Interval: time.Minute, N: 2, Min: 3, Max: 4, Mean: 3.5, Worst: gateway.Suspect}})
	if err != nil {
		t.Fatal(err)
	}
	b.update(19, &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 17, N: 5, Thinned: thinned})
	b.update(22, &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 22,
		End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 7, T0: 200_000_000, T1: 205_000_000, Anchor: &wa}})
	e2 := epochID(2)
	b.send(e2, 1, 2, a)
	closed := uint64(2)
	b.update(3, &wire.Update{Lane: wire.LaneLive, Epoch: e2, First: 3, End: &wire.End{Closed: &closed}})
	s, _ := run(t, feed, pg.DSN())
	feed.await(t)
	wantRows(t,
		pg.Query(t, `select seq, device, quantity, unit, value, quality, at, time_quality, corrected_at from readings_v where epoch = '`+
			e.String()+`' order by seq`),
		"1|boiler|temperature|Cel|1|good|2026-11-23 12:00:01+00|ntp|",
		"2|boiler|temperature|Cel|NaN|good|2026-11-23 12:00:02+00|ntp|",
		"3|boiler|temperature|Cel|-Infinity|good|2026-11-23 12:00:03+00|ntp|",
		"4|boiler|temperature|Cel|4|stale|2026-11-23 12:00:04+00|ntp|",
		"5|hall|door|/�|5|good|2026-11-23 12:00:05+00|ntp|",
		"6|boiler|temperature|Cel|6|good|2026-11-23 12:00:06+00|ntp|",
		"7|boiler|temperature|Cel|7|good|2026-11-23 12:00:07+00|ntp|",
		"8|boiler|temperature|Cel|8|good|2026-11-23 12:00:08+00|ntp|")
	wantRows(t, pg.Query(t, `select gateway, first, n, why, from_at, to_at from gaps_v`),
		"plant-7|9|10|dropped|2026-11-23 12:00:09+00|2026-11-23 12:00:18+00")
	wantRows(t, pg.Query(t, `select first, names, lacks, device, at, length, n, nan, min, max, mean, quality from thinned_v order by at`),
		"17|5|19|boiler|2026-11-23 12:01:00+00|00:01:00|3|1|1|2|1.5|good", "17|5|19|boiler|2026-11-23 12:02:00+00|00:01:00|2|0|3|4|3.5|suspect")
	wantRows(t, pg.Query(t, `select upto, ended, at_most, from_at, to_at from epochs_v order by epoch`),
		"21|unclean_stop|7|2026-11-23 12:03:20+00|2026-11-23 12:03:25+00", "2|closed|||")
	wantRows(t, pg.Query(t, `select seq, kind, at, time_quality, device, body, n, volatile from events_v`),
		`1|boot|2026-11-23 12:00:00.5+00|ntp|boiler|{"why":"\u0000"}|1|f`)
	wantRows(t, pg.Query(t, `select first, n, lane from arrivals order by epoch, first`), "1|6|1", "7|2|2", "9|10|2", "19|3|2", "1|2|1")
	wantRows(t, pg.Query(t, `select count(*) from readings_v where received_at between now() - interval '1 minute' and now()`), "10")
	if f := s.State().Figures; f.Readings != 10 || f.Gaps != 1 || f.Thinned != 1 || f.Ends != 2 || f.Events != 1 ||
		f.Records != 9 || f.Refused != 0 || f.Void != 0 {
		t.Errorf("figures are %+v", f)
	}
}
