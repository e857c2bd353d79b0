package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// wantOnce checks that the table holds the readings 1 … upto of every gateway
// with the value that is their seq, and none beside.
func wantOnce(t *testing.T, pg *e2e.Postgres, upto map[string]uint64) {
	t.Helper()
	var want []string
	for i := range len(upto) {
		id := fmt.Sprintf("g%d", i)
		want = append(want, fmt.Sprintf("%s|%d|%d|1|%d|t", id, upto[id], upto[id], upto[id]))
	}
	wantRows(t, pg.Query(t, `select gateway, count(*), count(distinct (epoch, seq)), min(seq), max(seq), bool_and(value = seq) from readings_v group by gateway order by gateway`), want...)
}

// The database is stopped at once, again and again, while records come.
func TestDatabaseKilled(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	run(t, feed, pg.DSN())
	upto := map[string]uint64{}
	boards := []*board{newBoard(t, feed, "g0"), newBoard(t, feed, "g1"), newBoard(t, feed, "g2")}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	unfinished := 0
	for range 4 {
		for range 200 {
			b := boards[random.IntN(3)]
			n := 1 + random.IntN(200)
			b.send(epochID(1), upto[b.id]+1, n, good(1))
			upto[b.id] += uint64(n)
		}
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond) // somewhere in the middle
		pg.Kill(t)
		if !feed.done() {
			unfinished++
		}
		pg.Start(t)
	}
	feed.await(t)
	if unfinished == 0 {
		t.Error("at every kill everything was written already: the test does not see what it is there for")
	}
	wantOnce(t, pg, upto)
}

// A log gives batches twice, in part or whole, after an error or after the
// end of a sink: nothing is there twice.
func TestRepeats(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	var upto uint64
	more := func(n int) {
		for range n {
			b.send(epochID(1), upto+1, 10, good(1))
			upto += 10
		}
	}
	more(300)
	_, end := run(t, feed, pg.DSN())
	feed.await(t)
	end()
	for _, back := range []uint64{1, 5, 44, 300} {
		feed.set(func() { feed.passed -= min(back, feed.passed) })
		more(3)
		s, end := run(t, feed, pg.DSN())
		feed.await(t)
		end()
		if f := s.State().Figures; f.Void != 0 {
			t.Errorf("%d records counted as void after going back %d", f.Void, back)
		}
	}
	wantOnce(t, pg, map[string]uint64{"g0": upto})
}

// A record is void whose predecessor is another: a newer session had taken its
// place. Its readings come again in the valid one.
func TestVoidRecords(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	lost := record.Record{ID: "lost", Seq: b.last.Seq} // the log lost it, and another took its sequence
	void := &wire.Update{Lane: wire.LaneLive, Epoch: epochID(1), First: 500, N: 10,
		Blocks: [][]byte{b.blockOf(epochID(1), 500, good(1), counting(500, 10))}}
	b.put(record.Record{Kind: record.KindUpdate, Epoch: epochID(1), First: 500, N: 10, Body: b.encode(void)}, lost)
	b.send(epochID(1), 11, 10, good(1))
	other := newBoard(t, feed, "g1")
	other.send(epochID(1), 1, 3, good(1))
	s, _ := run(t, feed, pg.DSN())
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 20, "g1": 3})
	if f := s.State().Figures; f.Void != 1 {
		t.Errorf("%d records counted as void, want 1", f.Void)
	}
}

// The log is lost and restored from a copy. What came after the copy comes
// again from the gateway, in other records under the same sequences; and the
// chain goes on from a record before the one that the database saw last.
func TestLogRestored(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	for i := range uint64(10) {
		b.send(epochID(1), 1+i*10, 10, good(1))
	}
	copied, last := append([]record.Entry(nil), feed.entries...), b.last
	for i := range uint64(5) {
		b.send(epochID(1), 101+i*10, 10, good(1))
	}
	_, end := run(t, feed, pg.DSN())
	feed.await(t)
	end()
	feed.set(func() { feed.entries, feed.passed = copied, 10 })
	b.last = last
	// The gateway no longer has 101 to 120; the database does.
	anchor := wire.Anchor{Boot: good(1).Boot, Offset: good(1).Offset, Quality: good(1).Quality}
	b.update(101, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 101, N: 20,
		Gap: &wire.Gap{Why: "forgotten_after_ack", T0: 101_000_000, T1: 120_000_000, Anchor: anchor}})
	b.send(epochID(1), 121, 20, good(1)) // again
	b.update(141, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 141, N: 20,
		Gap: &wire.Gap{Why: "dropped", T0: 141_000_000, T1: 160_000_000, Anchor: anchor}})
	b.send(epochID(1), 161, 20, good(1)) // new
	s, _ := run(t, feed, pg.DSN())
	feed.await(t)
	wantRows(t, pg.Query(t, `select count(*), count(distinct seq), bool_and(value = seq), bool_and(seq <= 150 or seq > 160) from readings_v`),
		"170|170|t|t")
	if f := s.State().Figures; f.Void != 0 {
		t.Errorf("%d records counted as void, want none", f.Void)
	}
	wantRows(t, pg.Query(t, `select first, n from gaps`), "151|10") // what is here is in no gap
	wantRows(t, pg.Query(t, `select first, n from arrivals where first > 130 order by first`), "131|10", "141|10", "151|10", "161|20")
	wantRows(t, pg.Query(t, `select upto from epochs`), "180")
}

// An epoch that ended by an open gap goes on: a live original whose copied
// image reported first. An orderly end is final.
func TestEndsThatMove(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	run(t, feed, pg.DSN())
	end := func(first uint64, e wire.End) {
		b.update(first, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: first, End: &e})
		feed.await(t)
	}
	open := wire.End{Why: "unclean_stop", AtMost: 9, T0: 1, T1: 2,
		Anchor: &wire.Anchor{Boot: good(1).Boot, Offset: good(1).Offset, Quality: good(1).Quality}}
	state := `select upto, ended, at_most from epochs`
	b.send(epochID(1), 1, 10, good(1))
	end(11, open)
	wantRows(t, pg.Query(t, state), "10|unclean_stop|9")
	b.send(epochID(1), 11, 10, good(1))
	feed.await(t)
	wantRows(t, pg.Query(t, state), "20||")
	state = `select upto, ended, at_most, t0_us, t1_us from epochs`
	open.AtMost, open.T0, open.T1 = 5, 20, 0
	end(21, open)
	wantRows(t, pg.Query(t, state), "20|unclean_stop|5|20|0")
	open.T1 = 30 // it has learnt the time
	end(21, open)
	wantRows(t, pg.Query(t, state), "20|unclean_stop|5|20|30")
	open.AtMost, open.T0, open.T1 = gateway.AtMostUnknown, 20, 0
	b.send(epochID(1), 21, 10, good(1))
	end(31, open)
	wantRows(t, pg.Query(t, state), "30|unclean_stop|9223372036854775807|20|0")
	open.T1 = 40
	end(31, open)
	wantRows(t, pg.Query(t, state), "30|unclean_stop|9223372036854775807|20|40")
	open.AtMost, open.T1 = 5, 30
	end(31, open)
	wantRows(t, pg.Query(t, state), "30|unclean_stop|5|20|30")
	copys := open
	copys.AtMost, copys.T0, copys.T1 = 7, 10, 25
	end(31, copys)
	wantRows(t, pg.Query(t, state), "30|unclean_stop|7|10|30")
	copys.AtMost, copys.T1 = 6, 0
	end(31, copys)
	wantRows(t, pg.Query(t, state), "30|unclean_stop|7|10|0")
	closed := uint64(30)
	end(31, wire.End{Closed: &closed})
	wantRows(t, pg.Query(t, state), "30|closed|||")
	end(31, open)
	wantRows(t, pg.Query(t, state), "30|closed|||")
}

// A board and the copy of its card, each in a boot of its own, tell of one epoch
// whose end nobody saw: stamps of two boots are not compared, also if a
// transaction or a start of the sink lies between.
func TestEndsOfTwoBoots(t *testing.T) {
	for _, batch := range []bool{true, false} {
		pg := e2e.NewPostgres(t)
		feed := newMemFeed()
		b := newBoard(t, feed, "g0")
		b.send(epochID(1), 1, 10, good(1))
		ends := []wire.End{
			{Why: "unclean_stop", AtMost: 9, T0: 900_000_000, T1: 901_000_000,
				Anchor: &wire.Anchor{Boot: gateway.BootID{1}, Offset: 1_000_000_000, Quality: gateway.ClockNTP}},
			{Why: "unclean_stop", AtMost: 5, T0: 20_000_000, T1: 30_000_000,
				Anchor: &wire.Anchor{Boot: gateway.BootID{2}, Offset: 2_000_000_000, Quality: gateway.ClockNTP}},
		}
		for i := range ends {
			b.update(11, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 11, End: &ends[i]})
			if !batch {
				_, end := run(t, feed, pg.DSN())
				feed.await(t)
				end()
			}
		}
		run(t, feed, pg.DSN())
		feed.await(t)
		// 1900 to 1901 s of wall time and 2020 to 2030 s, in the stamps of the second boot.
		wantRows(t, pg.Query(t, `select upto, ended, at_most, t0_us, t1_us from epochs`), "10|unclean_stop|9|-100000000|30000000")
		wantRows(t, pg.Query(t, `select extract(epoch from from_at)::bigint, extract(epoch from to_at)::bigint from epochs_v`), "1900|2030")
	}
}

// The database knows less of its epochs than it holds: somebody restored a
// part of it. Nothing is lost over that, and nothing doubled.
func TestTableOfEpochsBehind(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 100, good(1))
	_, end := run(t, feed, pg.DSN())
	feed.await(t)
	end()
	pg.Query(t, `update epochs set upto = 50`)
	feed.set(func() { feed.passed = 0 })
	pg.Query(t, `update gateways set record = '', record_seq = 0; update epochs set upto = 0`)
	b.send(epochID(1), 101, 100, good(1))
	s, _ := run(t, feed, pg.DSN())
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 200})
	if f := s.State().Figures; f.Refused != 0 || f.Records != 2 {
		t.Errorf("figures are %+v", f)
	}
}

// Two sinks of one database do not write at once: the second waits until the
// first has ended.
func TestTwoSinks(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed, other := newMemFeed(), newMemFeed()
	b, c := newBoard(t, feed, "g0"), newBoard(t, other, "g1")
	_, end := run(t, feed, pg.DSN())
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	second, _ := run(t, other, pg.DSN())
	c.send(epochID(1), 1, 10, good(1))
	for second.State().Err == nil {
		<-time.After(10 * time.Millisecond)
	}
	if err := second.State().Err; err.Error() != "another fieldgate-cloud writes into it" {
		t.Errorf("the second sink says %v", err)
	}
	wantOnce(t, pg, map[string]uint64{"g0": 10})
	end()
	other.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 10, "g1": 10})
}
