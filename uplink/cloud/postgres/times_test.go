package postgres_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// awaitCorrected waits until nothing is left to correct.
func awaitCorrected(t *testing.T, pg *e2e.Postgres) {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for pg.Number(t, `select count(*) from boots where better > corrected`) > 0 {
		select {
		case <-deadline:
			t.Fatal("times are still not corrected")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func anchorEvent(e gateway.EpochID, seq uint64, a gateway.Anchor) *wire.Event {
	return &wire.Event{Epoch: e, Seq: seq, Kind: gateway.EventAnchor, At: int64(a.From),
		Anchor: wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}}
}

// A board boots in 1970, samples, learns the time, loses it to somebody who
// sets the clock by hand, and learns it again.
func TestTimeLearnedLate(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "plant-7")
	e, boot := epochID(1), gateway.BootID{7}
	at := func(s int64) gateway.Stamp { return gateway.Stamp(s * 1_000_000) }
	lost := gateway.Anchor{Boot: boot}                                                                        // 1970
	learned := gateway.Anchor{Boot: boot, From: at(100), Offset: noon.UnixMicro(), Quality: gateway.ClockNTP} // at 100 s
	byHand := gateway.Anchor{Boot: boot, From: at(200), Offset: noon.Add(time.Hour).UnixMicro()}              // at 200 s, wrong
	// at 300 s, 20 ms later
	again := gateway.Anchor{Boot: boot, From: at(300), Offset: noon.UnixMicro() + 20_000, Quality: gateway.ClockSession}
	b.send(e, 1, 50, lost)
	s, _ := run(t, feed, pg.DSN())
	feed.await(t)
	times := func() []string {
		awaitCorrected(t, pg)
		return pg.Query(t,
			`select seq, measured_at, time_quality, corrected_at from readings_v where seq in (1, 50, 99, 150, 250, 350) order by seq`)
	}
	wantRows(t, times(), "1|1970-01-01 00:00:01+00|none|", "50|1970-01-01 00:00:50+00|none|")
	b.event(anchorEvent(e, 1, learned))
	feed.await(t)
	wantRows(t, times(), "1|1970-01-01 00:00:01+00|none|2026-11-23 12:00:01+00", "50|1970-01-01 00:00:50+00|none|2026-11-23 12:00:50+00")
	b.send(e, 51, 49, lost) // what comes after its anchor is right at once
	b.send(e, 100, 100, learned)
	b.send(e, 200, 100, byHand)
	feed.await(t)
	first := []string{"1|1970-01-01 00:00:01+00|none|2026-11-23 12:00:01+00", "50|1970-01-01 00:00:50+00|none|2026-11-23 12:00:50+00",
		"99|1970-01-01 00:01:39+00|none|2026-11-23 12:01:39+00", "150|2026-11-23 12:02:30+00|ntp|"}
	wantRows(t, times(), append(first[:4:4], "250|2026-11-23 13:04:10+00|none|2026-11-23 12:04:10+00")...)
	b.send(e, 300, 100, again) // with no event: the header tells
	feed.await(t)
	wantRows(t, times(), append(first[:4:4], "250|2026-11-23 13:04:10+00|none|2026-11-23 12:04:10.02+00",
		"350|2026-11-23 12:05:50.02+00|session|")...)
	wantRows(t, pg.Query(t, `select at from readings_v where at < '2000-01-01'`))
	if f := s.State().Figures; f.Corrected != 150 {
		t.Errorf("%d readings were corrected after they were written, want 50 and then 100", f.Corrected)
	}
}

// An anchor that is told after a farther one decides readings before both; so
// does a better one of the same stamp.
func TestNearerAnchorIsToldLater(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "plant-7")
	e := epochID(1)
	anchor := func(from gateway.Stamp, ms int64, q gateway.ClockQuality) gateway.Anchor {
		return gateway.Anchor{Boot: gateway.BootID{7}, From: from * 1_000_000, Offset: noon.UnixMicro() + 1000*ms, Quality: q}
	}
	run(t, feed, pg.DSN())
	wantTime := func(want string) {
		t.Helper()
		feed.await(t)
		awaitCorrected(t, pg)
		wantRows(t, pg.Query(t, `select distinct at - seq * interval '1 second' from readings_v`), "2026-11-23 "+want+"+00")
	}
	b.send(e, 1, 13, anchor(90, 2, gateway.ClockSession))
	wantTime("12:00:00.002")
	b.event(anchorEvent(e, 1, anchor(40, 1, gateway.ClockSession)))
	wantTime("12:00:00.001")
	b.event(anchorEvent(e, 2, anchor(40, 3, gateway.ClockNTP)))
	wantTime("12:00:00.003")
}

// wallOf is the rule in words of its own: the newest anchor at or before the
// stamp if it is synchronised, else the next one that is, else the best, of
// equals the newest before.
func wallOf(anchors []gateway.Anchor, s gateway.Stamp) int64 {
	byFrom := map[gateway.Stamp]gateway.Anchor{}
	for _, a := range anchors {
		if old, there := byFrom[a.From]; !there || a.Quality > old.Quality {
			byFrom[a.From] = a
		}
	}
	var before, after []gateway.Anchor // nearest first
	for _, a := range byFrom {
		if a.From <= s {
			before = append(before, a)
		} else {
			after = append(after, a)
		}
	}
	slices.SortFunc(before, func(x, y gateway.Anchor) int { return int(y.From - x.From) })
	slices.SortFunc(after, func(x, y gateway.Anchor) int { return int(x.From - y.From) })
	synced := func(a gateway.Anchor) bool { return a.Quality >= gateway.ClockSession }
	switch i := slices.IndexFunc(after, synced); {
	case len(before) > 0 && synced(before[0]):
		return int64(s) + before[0].Offset
	case i >= 0:
		return int64(s) + after[i].Offset
	}
	all := append(before, after...)
	best := slices.MaxFunc(all, func(x, y gateway.Anchor) int { return int(x.Quality) - int(y.Quality) }) // the first of equals
	return int64(s) + best.Offset
}

var timesSeed = flag.Uint64("times", 4477378875881256001, "seed of TestTimesByAllAnchors; 0: another one each time")

// Anchors and readings of many boots come in any order, in blocks, in events
// and again: in the end every time is the one that all anchors together give.
func TestTimesByAllAnchors(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	seed := *timesSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 3))
	t.Logf("seed %d", seed)
	want := map[string]int64{}
	for n := range byte(40) {
		if n == 20 { // some come in many small transactions, some in one
			run(t, feed, pg.DSN())
		}
		b := newBoard(t, feed, fmt.Sprintf("g%d", n))
		e := epochID(1)
		var anchors []gateway.Anchor
		for i := range 1 + random.IntN(6) {
			a := gateway.Anchor{Boot: gateway.BootID{n + 1}, From: gateway.Stamp(random.IntN(10) * 10_000_000),
				Offset: noon.UnixMicro() + int64(i)*1000, Quality: gateway.ClockQuality(random.IntN(4))}
			if !slices.ContainsFunc(anchors, func(o gateway.Anchor) bool { return o.From == a.From && o.Quality == a.Quality }) {
				anchors = append(anchors, a)
			}
		}
		seq, event := uint64(1), uint64(1)
		own := map[uint64]bool{}
		told := map[gateway.Anchor]bool{}
		for range 8 {
			a := anchors[random.IntN(len(anchors))]
			told[a] = true
			if random.IntN(2) == 0 {
				b.event(anchorEvent(e, event, a))
				event++
				continue
			}
			k := 1 + random.IntN(20)
			for i := range uint64(k) {
				own[seq+i] = true
			}
			b.send(e, seq, k, a)
			seq += uint64(k)
		}
		anchors = slices.DeleteFunc(anchors, func(a gateway.Anchor) bool { return !told[a] })
		for s := range own {
			want[fmt.Sprintf("%s|%d", b.id, s)] = wallOf(anchors, gateway.Stamp(s*1_000_000))
		}
	}
	feed.await(t)
	awaitCorrected(t, pg)
	rows := pg.Query(t, `select gateway, seq, (extract(epoch from at) * 1000000)::bigint from readings_v`)
	if len(rows) != len(want) {
		t.Errorf("%d readings, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		i := strings.LastIndexByte(row, '|')
		if got := row[i+1:]; got != fmt.Sprint(want[row[:i]]) {
			t.Errorf("%s is at %s, want %d", row[:i], got, want[row[:i]])
		}
	}
}
