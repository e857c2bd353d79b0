package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
)

// await asks until a query gives a number that is not 0.
func await(t *testing.T, pg *e2e.Postgres, query string) {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for pg.Number(t, query) == 0 {
		select {
		case <-deadline:
			t.Fatalf("in vain: %s", query)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// admin is a connection of somebody else's, with statements that must work.
func admin(t *testing.T, pg *e2e.Postgres) (*pgx.Conn, func(sql string)) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.DSN()+" search_path=fieldgate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

const (
	copying = `select count(*) from pg_stat_activity where state = 'active' and query like 'copy readings%' and wait_event_type = 'Lock'`
	cut     = `select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'copy readings%'`
)

// The connection is ended in the middle of a COPY: nothing of it is there, and
// it comes again.
func TestCutInTheMiddleOfCopy(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	s, book := runLogged(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	_, do := admin(t, pg)
	for round := range uint64(3) {
		do(`begin; lock table readings in share mode`) // as a backup that checks, or create index
		b.send(epochID(1), 11+round*5000, 5000, good(1))
		await(t, pg, copying)
		if n := pg.Number(t, cut); n != 1 {
			t.Errorf("%d connections were cut", n)
		}
		awaitErr(t, s, nil)
		do(`commit`)
		feed.await(t)
		wantOnce(t, pg, map[string]uint64{"g0": 10 + (round+1)*5000})
	}
	if text := book.String(); strings.Count(text, "takes nothing") != 3 || strings.Count(text, "takes readings again") != 3 ||
		!strings.Contains(text, "57P01") {
		t.Errorf("told:\n%s", text)
	}
	if f := s.State().Figures; f.Refused != 0 || f.Void != 0 {
		t.Errorf("figures are %+v", f)
	}
}

// Somebody else and the sink wait for each other, and PostgreSQL ends the
// sink's transaction: it is done again.
func TestDeadlock(t *testing.T) {
	pg := e2e.NewPostgres(t, "deadlock_timeout = 100ms")
	feed := newMemFeed()
	s, book := runLogged(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	conn, do := admin(t, pg)
	do(`set deadlock_timeout = '10min'`) // so that it is the sink that finds out, and must go
	do(`begin; lock table arrivals in exclusive mode`)
	b.send(epochID(1), 11, 5000, good(1)) // copied, then waits for arrivals
	await(t, pg, `select count(*) from pg_locks where relation = 'fieldgate.arrivals'::regclass and not granted`)
	if _, err := conn.Exec(t.Context(), `lock table readings in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	do(`commit`)
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 5010})
	if text := book.String(); strings.Count(text, "takes nothing") != 1 || !strings.Contains(text, "deadlock") {
		t.Errorf("told:\n%s", text)
	}
	if st := s.State(); st.Err != nil || st.Refused != 0 {
		t.Errorf("state is %+v", st)
	}
}

// A reader that looks on for long holds nothing up.
func TestLongReader(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	run(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	_, do := admin(t, pg)
	do(`begin isolation level repeatable read; select count(*) from readings_v`)
	b.send(epochID(1), 11, 10, good(1))
	feed.await(t)
	do(`select count(*) from gaps_v; commit`)
	wantOnce(t, pg, map[string]uint64{"g0": 20})
}

// The password was changed, or the right to connect taken away: that is told,
// without the password, and it goes on when it is given back.
func TestRightsTakenAway(t *testing.T) {
	pg := e2e.NewPostgres(t)
	pg.Query(t, `create role sink login; grant create on database postgres to sink`)
	dsn := strings.Replace(pg.DSN(), "user=plant ", "user=sink ", 1)
	feed := newMemFeed()
	s, book := runLogged(t, feed, dsn)
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	pg.Query(t, `alter role sink nologin`)
	pg.Query(t, `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sink'`)
	b.send(epochID(1), 11, 10, good(1))
	awaitErr(t, s, nil)
	await(t, pg, `select 1`)
	pg.Query(t, `alter role sink login`)
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 20})
	if text := book.String(); strings.Count(text, "takes nothing") != 1 || strings.Count(text, "takes readings again") != 1 {
		t.Errorf("told:\n%s", text)
	}
}

// A database that cannot hold every text is refused, with what to do.
func TestEncodingThatIsNotUTF8(t *testing.T) {
	pg := e2e.NewPostgres(t)
	_, do := admin(t, pg)
	do(`create database ascii encoding 'SQL_ASCII' template template0`)
	feed := newMemFeed()
	newBoard(t, feed, "g0").send(epochID(1), 1, 10, good(1))
	s, book := runLogged(t, feed, strings.Replace(pg.DSN(), "dbname=postgres", "dbname=ascii", 1))
	awaitErr(t, s, postgres.ErrEncoding)
	if !strings.Contains(book.String(), "create the database with encoding UTF8") {
		t.Errorf("told:\n%s", book)
	}
}

// The log gives a part again while the sink runs: that is no reason to doubt
// what the database knows of its epochs, and no record is taken for void.
func TestPartComesAgain(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	s, book := runLogged(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	for i := range uint64(20) {
		b.send(epochID(1), 1+10*i, 10, good(1))
	}
	feed.await(t)
	feed.set(func() { feed.passed = 5 })
	b.send(epochID(1), 201, 10, good(1))
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 210})
	if f := s.State().Figures; f.Void != 0 || f.Refused != 0 || strings.Contains(book.String(), "compared") {
		t.Errorf("figures are %+v; told:\n%s", f, book)
	}
}

// Rules that somebody has added to the tables: records that they refuse stand
// in nobody's way.
func TestRulesOfOthers(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	s, book := runLogged(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	feed.await(t)
	_, do := admin(t, pg)
	do(`alter table readings add check (value <> 13)`) // 23514
	do(`create function odd() returns trigger language plpgsql as $$ begin
		if new.value = 25 then raise exception 'not 25' using errcode = '22003'; end if; return new; end $$;
		create trigger odd before insert on readings for each row execute function odd()`)
	for first := uint64(11); first < 41; first += 10 {
		b.send(epochID(1), first, 10, good(1))
	}
	feed.await(t)
	wantRows(t, pg.Query(t, `select count(*), count(distinct seq), sum(case when seq between 11 and 30 then 1 else 0 end) from readings`),
		"20|20|0")
	wantRows(t, pg.Query(t, `select count(*) from refused`), "2")
	if f := s.State().Figures; f.Refused != 2 || f.Void != 0 || strings.Contains(book.String(), "compared") ||
		strings.Contains(book.String(), "takes nothing") {
		t.Errorf("figures are %+v; told:\n%s", f, book)
	}
}
