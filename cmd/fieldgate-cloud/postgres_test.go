package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// awaitReadings waits until the database holds so many readings of g.
func awaitReadings(t *testing.T, pg *e2e.Postgres, want uint64) {
	t.Helper()
	deadline := time.After(answerWithin)
	count := func() int64 {
		if pg.Number(t, `select count(*) from pg_class where relname = 'arrivals'`) == 0 {
			return 0 // it was always killed before the tables were made
		}
		return pg.Number(t, `select coalesce(sum(upto), 0) from epochs`)
	}
	for n := int64(0); n < int64(want); n = count() {
		select {
		case <-deadline:
			t.Fatalf("the database holds %d readings, want %d", n, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The server, or the database, or both are killed again and again while a
// gateway sends. Every reading is in the log once, and in the database once.
func TestKilledWithDatabase(t *testing.T) {
	t.Parallel()
	pg := e2e.NewPostgres(t)
	dsn := write(t, filepath.Join(t.TempDir(), "dsn"), pg.DSN())
	state := t.TempDir()
	token := add(t, state, "g")
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	e := gateway.NewEpochID()
	for round := range 6 {
		p := start(t, state, "--postgres", "@"+dsn)
		conn, w := p.open(token, "g", e)
		awaitReadings(t, pg, w.Epochs[0].Upto) // so that it writes when it is killed
		next := w.Epochs[0].Upto + 1
		after := 20 + random.IntN(120) // acks, with three updates under way
		for range 2 {
			say(t, conn, five(t, e, next))
			next += 5
		}
		for range after {
			say(t, conn, five(t, e, next))
			next += 5
			if _, err := hear(conn); err != nil {
				t.Fatal(err)
			}
		}
		if round%3 > 0 {
			pg.Kill(t)
		}
		if round%3 < 2 {
			p.end(syscall.SIGKILL)
		}
		if round%3 > 0 {
			pg.Start(t)
		}
		if round%3 == 2 {
			p.end(syscall.SIGTERM)
		}
		conn.Close()
	}
	p := start(t, state, "--postgres", "@"+dsn)
	_, w := p.open(token, "g", e)
	upto := w.Epochs[0].Upto
	p.wantSeqs(upto)
	awaitReadings(t, pg, upto)
	p.end(syscall.SIGTERM)
	row := pg.Query(t, `select count(*), count(distinct (gateway, epoch, seq)), min(seq), max(seq), bool_and(value = seq) from readings_v`)
	if want := fmt.Sprintf("%d|%d|1|%d|t", upto, upto, upto); len(row) != 1 || row[0] != want {
		t.Errorf("the database holds %q, want %q", row, want)
	}
}

// A database that is not there keeps nobody from being served.
func TestDatabaseMissing(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	p := start(t, state, "--postgres", "host=/nowhere password=s3cret")
	e := gateway.NewEpochID()
	conn, _ := p.open(add(t, state, "g"), "g", e)
	say(t, conn, five(t, e, 1))
	if m, err := hear(conn); err != nil || m.(*wire.Ack).Epochs[0].Upto != 5 {
		t.Fatalf("got %+v, %v", m, err)
	}
	operator, err := os.ReadFile(filepath.Join(state, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(p.get("/metrics", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(operator))}}).Body)
	if err != nil || !strings.Contains(string(metrics), "fieldgate_cloud_postgres_up 0\n") ||
		!strings.Contains(string(metrics), "fieldgate_cloud_postgres_readings_total 0\n") {
		t.Errorf("the metrics do not tell of it (%v):\n%s", err, metrics)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("ended with %d", code)
	}
	log := strings.Join(p.lines, "\n")
	if !strings.Contains(log, "/nowhere") || strings.Contains(log, "s3cret") || !strings.Contains(log, "put the address into a file") {
		t.Errorf("the log says\n%s", log)
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
