package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// TestDatabaseRestored restores last night's backup under the running server,
// and once more while it is stopped, then gives it an empty database: what the
// log holds comes again, and every reading stands in the database once.
func TestDatabaseRestored(t *testing.T) {
	t.Parallel()
	pg := e2e.NewPostgres(t)
	dsn := write(t, filepath.Join(t.TempDir(), "dsn"), pg.DSN())
	state := t.TempDir()
	token := add(t, state, "g")
	e := gateway.NewEpochID()
	next := uint64(1)
	p := start(t, state, "--postgres", "@"+dsn)
	send := func(p *process) {
		t.Helper()
		conn, _ := p.open(token, "g", e)
		defer conn.Close()
		for range 20 {
			say(t, conn, five(t, e, next))
			next += 5
			if _, err := hear(conn); err != nil {
				t.Fatal(err)
			}
		}
	}
	complete := func() {
		t.Helper()
		awaitReadings(t, pg, next-1)
		row := pg.Ask(t, `select count(*), count(distinct seq), min(seq), max(seq), bool_and(value = seq) from fieldgate.readings_v`)
		if want := fmt.Sprintf("%d|%d|1|%d|t", next-1, next-1, next-1); len(row) != 1 || row[0] != want {
			t.Fatalf("the database holds %q, want %q", row, want)
		}
	}
	send(p)
	awaitReadings(t, pg, next-1)
	night := pg.Dump(t)
	send(p)
	awaitReadings(t, pg, next-1)
	pg.Replace(t, night) // under the running server, whose connection breaks
	send(p)
	complete()
	pg.ReplaceWithin(t, night) // whose connection stays
	send(p)
	complete()
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("ended with %d", code)
	}
	if log := strings.Join(p.lines, "\n"); !strings.Contains(log, "PostgreSQL lacks records that were written") ||
		strings.Contains(log, "refused") {
		t.Errorf("the log says\n%s", log)
	}
	pg.Replace(t, night)
	p = start(t, state, "--postgres", "@"+dsn)
	send(p)
	complete()
	p.end(syscall.SIGTERM)
	pg.Replace(t, "")
	p = start(t, state, "--postgres", "@"+dsn)
	send(p)
	complete()
	p.end(syscall.SIGTERM)
}
