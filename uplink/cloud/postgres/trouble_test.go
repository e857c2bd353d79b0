package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A logbook is what a sink logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// runLogged is run with a logbook.
func runLogged(t *testing.T, feed record.Feed, dsn string) (*postgres.Sink, *logbook) {
	t.Helper()
	book := &logbook{}
	s, err := postgres.New(postgres.Options{Feed: feed, DSN: dsn, Logger: slog.New(slog.NewTextHandler(book, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, book
}

// awaitErr waits until the sink is in trouble, of this kind if want is set.
func awaitErr(t *testing.T, s *postgres.Sink, want error) {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for {
		if err := s.State().Err; err != nil && (want == nil || errors.Is(err, want)) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the sink says %v, want %v", s.State().Err, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// The database is not there when the sink starts, comes, goes and comes back:
// records wait, and each turn is told once.
func TestDatabaseDown(t *testing.T) {
	pg := e2e.NewPostgres(t)
	pg.Stop(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	s, book := runLogged(t, feed, pg.DSN())
	awaitErr(t, s, nil)
	pg.Start(t)
	feed.await(t)
	if st := s.State(); st.Err != nil || !st.Since.IsZero() || st.Upto.IsZero() {
		t.Errorf("state is %+v", st)
	}
	pg.Stop(t)
	b.send(epochID(1), 11, 10, good(1))
	awaitErr(t, s, nil)
	<-time.After(1200 * time.Millisecond) // several tries
	pg.Start(t)
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 20})
	text := book.String()
	if n, m := strings.Count(text, "takes nothing"), strings.Count(text, "takes readings again"); n != 2 || m != 2 {
		t.Errorf("told %d and %d times, want 2 and 2:\n%s", n, m, text)
	}
}

// Tables of a later version are not touched, and the sentence says what to do.
func TestNewerSchema(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	_, end := run(t, feed, pg.DSN())
	newBoard(t, feed, "g0").send(epochID(1), 1, 10, good(1))
	feed.await(t)
	end()
	pg.Query(t, `insert into schema_version (version) values (99)`)
	newBoard(t, feed, "g1").send(epochID(1), 1, 10, good(1))
	s, book := runLogged(t, feed, pg.DSN())
	awaitErr(t, s, postgres.ErrNewer)
	if n := pg.Number(t, `select count(*) from readings`); n != 10 || !strings.Contains(book.String(), "database of its own") {
		t.Errorf("%d readings; told:\n%s", n, book)
	}
}

// A database that version 1 made and filled is brought to this version, with
// what is in it.
func TestUpgradeFromVersion1(t *testing.T) {
	pg := e2e.NewPostgres(t)
	first, err := os.ReadFile("migrations/001_tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	pg.Query(t, `create schema fieldgate; create table schema_version (version integer primary key, at timestamptz not null default now());
		insert into schema_version values (1);`+string(first)+`
		insert into gateways (gateway, record, record_seq) values ('g0', 'old', 1);
		insert into boots (gateway, boot, unsure_upto, better) values (1, '01000000-0000-0000-0000-000000000000', 5000000, 2);
		insert into anchors (boot, from_us, offset_us, quality, error_us) values (1, 0, 0, 0, 0), (1, 9000000, 1795435200000000, 3, 1000);
		insert into epochs (gateway, epoch, boot, upto, unsure_first, unsure_last) values (1, '`+epochID(1).String()+`', 1, 5, 1, 5);
		insert into channels (gateway, device, quantity, unit) values (1, 'boiler', 'temperature', 'Cel');
		insert into arrivals values (1, 1, 5, now(), 1);
		insert into readings select g, timestamptz 'epoch' + g * interval '1 second', g, 1, 1, 1, 0 from generate_series(1, 5) g`)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	b.last = record.Record{ID: "old", Seq: 1}
	feed.entries = []record.Entry{{GatewayID: "g0", Record: b.last}}
	feed.passed = 1
	b.send(epochID(1), 6, 5, good(1))
	run(t, feed, pg.DSN())
	feed.await(t)
	awaitCorrected(t, pg)
	wantOnce(t, pg, map[string]uint64{"g0": 10})
	wantRows(t, pg.Query(t, `select at from readings_v where seq in (1, 6) order by seq`), "2026-11-23 12:00:01+00", "2026-11-23 12:00:06+00")
	wantRows(t, pg.Query(t, `select max(version) from schema_version`), "3")
}

// A record that PostgreSQL cannot take stands in nobody's way, and is kept.
func TestRecordThatCannotBeWritten(t *testing.T) {
	pg := e2e.NewPostgres(t)
	feed := newMemFeed()
	b := newBoard(t, feed, "g0")
	b.send(epochID(1), 1, 10, good(1))
	var noise strings.Builder // an index takes no more than 2.7 kB that cannot be compressed
	for range 500 {
		noise.WriteString(gateway.NewEpochID().String())
	}
	odd := counting(1, 1)
	odd[0].Channel = &gateway.Channel{Device: noise.String(), Quantity: "q"}
	b.update(1, &wire.Update{Lane: wire.LaneLive, Epoch: epochID(2), First: 1, N: 1, Blocks: [][]byte{b.blockOf(epochID(2), 1, good(1), odd)}})
	b.last = b.put(record.Record{Kind: record.KindUpdate, Epoch: epochID(2), First: 2, N: 1, Body: []byte("rubbish")}, b.last)
	b.send(epochID(1), 11, 10, good(1))
	s, book := runLogged(t, feed, pg.DSN())
	feed.await(t)
	wantOnce(t, pg, map[string]uint64{"g0": 20})
	if f := s.State().Figures; f.Refused != 2 || f.Void != 0 {
		t.Errorf("figures are %+v", f)
	}
	wantRows(t, pg.Query(t, `select gateway, record_seq, length(why) > 10, length(body) > 5 from refused order by record_seq`),
		"g0|2|t|t", "g0|3|t|t")
	if n := strings.Count(book.String(), "table refused"); n != 2 || strings.Contains(book.String(), "compared") {
		t.Errorf("told %d times:\n%s", n, book)
	}
}

// The disk of the database fills up: records wait until there is room again.
func TestDiskFull(t *testing.T) {
	dir, err := os.MkdirTemp("", "full") // not below t.TempDir, which others may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), unix.Mount("tmpfs", dir, "tmpfs", 0, "size=120m,mode=755")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("SKIPPED: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	t.Setenv("TMPDIR", dir)
	pg := e2e.NewPostgres(t, "max_wal_size = 32MB")
	feed := newMemFeed()
	s, book := runLogged(t, feed, pg.DSN())
	b := newBoard(t, feed, "g0")
	upto := map[string]uint64{}
	more := func(n int) {
		for range n {
			b.send(epochID(1), upto["g0"]+1, 1000, good(1))
			upto["g0"] += 1000
		}
	}
	more(10)
	feed.await(t)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	more(100)
	awaitErr(t, s, nil)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	more(10)
	feed.await(t)
	wantOnce(t, pg, upto)
	if text := book.String(); strings.Count(text, "takes nothing") < 1 || !strings.Contains(text, "No space left") {
		t.Errorf("told:\n%s", text)
	}
}

// No password is told, whatever is wrong.
func TestPasswordIsNotLogged(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dsn")
	write := func(text string, mode os.FileMode) string {
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		return "@" + file
	}
	const secret = "s3cret"
	for dsn, want := range map[string]error{
		"postgres://u:" + secret + "@host:bad/db":     nil,
		"host=h password=" + secret + " port=none":    nil,
		write("host=h password="+secret+" x", 0o600):  nil,
		"@" + filepath.Join(dir, secret, "none"):      os.ErrNotExist,
		"postgres://u:" + secret + "@host/%zz":        nil,
		"host=h password=" + secret + " sslmode=some": nil,
	} {
		_, err := postgres.ParseDSN(dsn)
		if err == nil || want != nil && !errors.Is(err, want) || strings.Contains(strings.ReplaceAll(err.Error(), dir+"/"+secret, ""), secret) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if _, err := postgres.ParseDSN(write("host=h", 0o604)); !errors.Is(err, postgres.ErrFileMode) {
		t.Errorf("a file that everybody may read: %v", err)
	}
	t.Setenv("PGHOST", "elsewhere")
	cfg, err := postgres.ParseDSN(write("dbname=plants password="+secret+"\n", 0o640))
	if err != nil || cfg.Host != "elsewhere" || cfg.Database != "plants" || cfg.Password != secret {
		t.Errorf("got %v, %v", cfg, err)
	}
	s, book := runLogged(t, newMemFeed(), "host=127.0.0.1 port=1 user=u password="+secret)
	awaitErr(t, s, nil)
	if strings.Contains(book.String(), secret) || !strings.Contains(book.String(), "127.0.0.1") {
		t.Errorf("told:\n%s", book)
	}
}
