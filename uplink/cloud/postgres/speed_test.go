package postgres_test

import (
	"flag"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

var speed = flag.Int("speed", 200_000, "how many readings TestSpeed writes")

// A backlog as a gateway sends it, many blocks an update, into a database that
// syncs every commit. The figures are in the test's output.
func TestSpeed(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "plant-7")
	source, first := plant.New(1), uint64(1)
	var rs []gateway.Reading
	for left := *speed; left > 0; left -= len(rs) {
		rs = source.Append(rs[:0], min(left, 40_000))
		u := &wire.Update{Lane: wire.LaneBacklog, Epoch: epochID(1), First: first, N: uint64(len(rs))}
		for at := 0; at < len(rs); at += 4000 {
			part := rs[at:min(at+4000, len(rs))]
			u.Blocks = append(u.Blocks, b.blockOf(u.Epoch, first+uint64(at), good(1), part))
		}
		b.update(first, u)
		first += uint64(len(rs))
	}
	began := time.Now()
	run(t, feed, pg.DSN())
	feed.await(t)
	took := time.Since(began)
	if n := pg.Number(t, `select count(*) from readings`); n != int64(*speed) {
		t.Errorf("%d readings are in the table, want %d", n, *speed)
	}
	size := pg.Number(t, `select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname = 'fieldgate' and relkind = 'r'`)
	t.Logf("postgres.insert %.0f readings/s; %.1f B a reading on its disk, indexes included",
		float64(*speed)/took.Seconds(), float64(size)/float64(*speed))
}
