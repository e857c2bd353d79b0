package postgres_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestDatabaseReplaced puts other states of the database in the place of the
// one that is written to, while the sink runs: in the end every reading of the
// log is there once, and names that are claimed are there.
func TestDatabaseReplaced(t *testing.T) {
	for name, replace := range map[string]func(*testing.T, *e2e.Postgres, string){
		"restored":                       func(t *testing.T, pg *e2e.Postgres, night string) { pg.Replace(t, night) },
		"made anew, empty":               func(t *testing.T, pg *e2e.Postgres, _ string) { pg.Replace(t, "") },
		"restored in an open connection": func(t *testing.T, pg *e2e.Postgres, night string) { pg.ReplaceWithin(t, night) },
		"emptied in an open connection":  func(t *testing.T, pg *e2e.Postgres, _ string) { pg.ReplaceWithin(t, "") },
		"another cloud's": func(t *testing.T, pg *e2e.Postgres, _ string) {
			other := newMemFeed()
			for _, id := range []string{"g0", "x"} {
				b := newBoard(t, other, id)
				for i := range uint64(40) {
					b.send(epochID(7), 1+i, 1, good(9))
				}
			}
			beside := e2e.NewPostgres(t)
			run(t, other, beside.DSN())
			other.await(t)
			pg.Replace(t, beside.Dump(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			pg := e2e.NewPostgres(t)
			feed := newMemFeed()
			run(t, feed, pg.DSN())
			boards := []*board{newBoard(t, feed, "g0"), newBoard(t, feed, "g1")}
			next := []uint64{1, 1}
			send := func(times int) {
				for range times {
					for i, b := range boards {
						b.send(epochID(byte(i)+1), next[i], 10, good(byte(i)+1))
						next[i] += 10
					}
				}
				feed.await(t)
			}
			send(3)
			night := pg.Dump(t)
			send(3)
			replace(t, pg, night)
			send(1)
			for i, b := range boards {
				rows := pg.Ask(t, `select count(*), count(distinct seq), min(seq), max(seq), bool_and(value = seq) from fieldgate.readings_v
					where gateway = '`+b.id+`' and epoch = '`+epochID(byte(i)+1).String()+`'`)
				wantRows(t, rows, "70|70|1|70|t")
			}
			wantRows(t, pg.Ask(t, `select epoch from fieldgate.epochs_v v where upto <> (select count(*) from fieldgate.readings_v r where r.epoch = v.epoch and r.gateway = v.gateway)`))
			wantRows(t, pg.Ask(t, `select * from fieldgate.gaps_v`))
		})
	}
}

// TestLogLostItsTail: the log was restored from an older state, and goes on
// otherwise than what the database has.
func TestLogLostItsTail(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	run(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	kept := b.last
	b.send(epochID(1), 11, 10, good(1))
	b.send(epochID(1), 21, 10, good(1))
	feed.await(t)
	feed.set(func() { feed.entries, feed.passed = feed.entries[:1], 1 })
	b.last = kept
	b.send(epochID(2), 1, 10, good(1))
	b.send(epochID(1), 11, 10, good(1))
	b.send(epochID(2), 11, 10, good(1))
	feed.await(t)
	wantRows(t, pg.Ask(t, `select epoch, count(*), max(seq) from fieldgate.readings_v group by epoch order by epoch`),
		epochID(1).String()+"|30|30", epochID(2).String()+"|20|20")
}

// TestOlderThanTheLog: a database that is older than all that the log still
// has says what it lacks, until the log has it again.
func TestOlderThanTheLog(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	run(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	for i := range uint64(6) {
		b.send(epochID(1), 10*i+1, 10, good(1))
	}
	feed.await(t)
	all := slices.Clone(feed.entries)
	feed.set(func() { feed.entries = feed.entries[4:] }) // purged
	pg.Replace(t, "")
	b.send(epochID(1), 61, 10, good(1))
	feed.await(t)
	wantRows(t, pg.Ask(t, `select count(*), min(seq) from fieldgate.readings_v`), "30|41")
	wantRows(t, pg.Ask(t, `select epoch, first, n, why, from_at from fieldgate.gaps_v`), epochID(1).String()+"|1|40|not_in_log|")
	feed.set(func() { feed.entries, feed.passed = append(all[1:], feed.entries[2:]...), 0 })
	feed.await(t)
	wantRows(t, pg.Ask(t, `select first, n, why from fieldgate.gaps_v`), "1|10|not_in_log")
	wantRows(t, pg.Ask(t, `select count(*), min(seq) from fieldgate.readings_v`), "60|11")
}

// TestEndThatTheBoardDoesNotKnow: a board that lost its power knows neither until
// when an epoch went on nor how much of it is missing. Then the views say
// nothing, and no time before the first one and no number that looks real.
func TestEndThatTheBoardDoesNotKnow(t *testing.T) {
	pg, feed := e2e.NewPostgres(t), newMemFeed()
	b := newBoard(t, feed, "plant-7")
	a := good(1)
	b.send(epochID(1), 1, 5, a)
	wa := wire.Anchor{Boot: a.Boot, Offset: a.Offset, Quality: a.Quality}
	b.update(6, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 6,
		End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: gateway.AtMostUnknown, T0: 13e6, Anchor: &wa}})
	run(t, feed, pg.DSN())
	feed.await(t)
	wantRows(t, pg.Ask(t, `select ended, from_at is null, to_at is null, at_most is null from fieldgate.epochs_v`), "unclean_stop|f|t|t")
}

// TestViewsWithNothingSet reads every column of every view as psql would, of a
// new database and of one that the version before made.
func TestViewsWithNothingSet(t *testing.T) {
	for _, old := range []bool{false, true} {
		pg := e2e.NewPostgres(t)
		if old {
			var sql strings.Builder
			sql.WriteString("create schema fieldgate; " +
				"create table schema_version (version integer primary key, at timestamptz not null default now()); " +
				"insert into schema_version values (1), (2);")
			for _, name := range []string{"001_tables.sql", "002_times.sql"} {
				text, err := os.ReadFile("migrations/" + name)
				if err != nil {
					t.Fatal(err)
				}
				sql.Write(text)
			}
			pg.Query(t, sql.String())
		}
		feed := newMemFeed()
		b := newBoard(t, feed, "plant-7")
		a := good(1)
		wa := wire.Anchor{Boot: a.Boot, Offset: a.Offset, Quality: a.Quality}
		b.send(epochID(1), 1, 5, a)
		b.update(6, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 6, N: 4,
			Gap: &wire.Gap{Why: gateway.WhyDropped, T0: 6e6, T1: 9e6, Anchor: wa}})
		sums := []gateway.Summary{{Channel: boiler, From: 60e6, Interval: 60e9, N: 3, Min: 1, Max: 2, Mean: 1.5}}
		thinned, err := b.enc.AppendThinned(nil,
			gateway.BlockHeader{Range: gateway.Range{Epoch: epochID(1), First: 10}, Anchor: a, T0: 60e6, T1: 119e6}, sums)
		if err != nil {
			t.Fatal(err)
		}
		b.update(10, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 10, N: 3, Thinned: thinned})
		b.update(13, &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: 13,
			End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 5, T0: 13e6, T1: 15e6, Anchor: &wa}})
		b.event(anchorEvent(epochID(1), 1, a))
		run(t, feed, pg.DSN())
		feed.await(t)
		for view, times := range map[string]string{
			"readings_v": "max(at)", "gaps_v": "max(from_at), max(to_at)", "epochs_v": "max(from_at), max(to_at)",
			"thinned_v": "max(at)", "events_v": "max(at)",
		} {
			if rows := pg.Ask(t, `select * from fieldgate.`+view); len(rows) == 0 {
				t.Errorf("%s is empty", view)
			}
			if rows := pg.Ask(t, `select `+times+` from fieldgate.`+view); len(rows) != 1 || !strings.HasPrefix(rows[0], "2026-11-23 12:0") {
				t.Errorf("%s has times %q", view, rows)
			}
		}
	}
}

// TestExtremesInSQL: stamps, offsets and names up to the ends of whole numbers
// are written, found in every view, and corrected to the end.
func TestExtremesInSQL(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	s, _ := run(t, feed, pg.DSN())
	number := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{-1 << 63, 1 - 1<<63, -1, 0, 1, 1 << 53, 1<<63 - 2, 1<<63 - 1}))
	rapid.Check(t, func(rt *rapid.T) {
		b := newBoard(t, feed, "g"+gateway.NewEpochID().String())
		e, next, event := gateway.NewEpochID(), uint64(1), uint64(1)
		for range rapid.IntRange(1, 8).Draw(rt, "messages") {
			a := gateway.Anchor{Boot: gateway.BootID{1}, From: gateway.Stamp(number.Draw(rt, "from")),
				Offset: number.Draw(rt, "offset"), Quality: gateway.ClockQuality(rapid.IntRange(0, 3).Draw(rt, "clock"))}
			w := wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: max(0, number.Draw(rt, "error"))}
			u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: next}
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				u.N = rapid.SampledFrom([]uint64{1, 1 << 32, 1 << 61}).Draw(rt, "n")
				u.Gap = &wire.Gap{Why: gateway.WhyDropped, T0: number.Draw(rt, "t0"), T1: number.Draw(rt, "t1"), Anchor: w}
			case 1:
				u.End = &wire.End{Why: gateway.WhyUncleanStop, AtMost: 1<<63 - 1, T0: number.Draw(rt, "t0"), T1: number.Draw(rt, "t1"), Anchor: &w}
			case 2:
				b.event(&wire.Event{Epoch: e, Seq: event, Kind: gateway.EventAnchor, At: number.Draw(rt, "at"), Anchor: w, N: 1<<63 - 1})
				event++
				continue
			default:
				u.N = 2
				at := []gateway.Reading{{Channel: boiler, At: gateway.Stamp(number.Draw(rt, "t0"))},
					{Channel: boiler, At: gateway.Stamp(number.Draw(rt, "t1"))}}
				data, err := b.enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: next}, Anchor: a}, at)
				if err != nil {
					continue
				}
				u.Blocks = [][]byte{data}
			}
			b.update(next, u)
			next = min(next+u.N, 1<<62)
			if next == 1<<62 {
				break
			}
		}
	})
	feed.await(t)
	awaitCorrected(t, pg)
	for _, view := range []string{"readings_v", "gaps_v", "epochs_v", "events_v"} {
		pg.Ask(t, `select * from fieldgate.`+view)
	}
	if f := s.State().Figures; f.Refused > 0 || f.Readings == 0 {
		t.Errorf("figures %+v", f)
	}
	wantRows(t, pg.Query(t, `select why from refused`))
}
