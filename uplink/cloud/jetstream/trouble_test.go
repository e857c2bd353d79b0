package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestWhatErrorsMean goes by JetStream's codes: the texts here mislead.
func TestWhatErrorsMean(t *testing.T) {
	for code, want := range map[natsjs.ErrorCode]error{
		10071: record.ErrFenced,      // wrong last sequence
		10164: record.ErrFenced,      // the same, without a number
		10163: record.ErrUnavailable, // another record of this subject is on its way
		10077: record.ErrFull,        // the stream's limit
		10023: record.ErrFull,        // the server's limit
		10047: record.ErrFull,        // the storage of all servers
		10002: record.ErrFull,        // the account's limit
		10167: record.ErrUnavailable, // too many requests
		10008: record.ErrUnavailable, // no leader
		1:     record.ErrUnavailable, // unknown
	} {
		err := &natsjs.APIError{ErrorCode: code, Description: "wrong last sequence, maximum bytes exceeded, timeout"}
		if got := jetstream.Classify(fmt.Errorf("publish: %w", err)); !errors.Is(got, want) {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
	for _, err := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, natsjs.ErrNoStreamResponse, nats.ErrConnectionClosed, nats.ErrReconnectBufExceeded,
	} {
		if got := jetstream.Classify(err); !errors.Is(got, record.ErrUnavailable) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestAppendsTakeTurns: what waits for its turn is not sent when it gives up.
func TestAppendsTakeTurns(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	release := l.Busy()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := l.Append(ctx, "g", 0, record.Record{ID: "g1", Kind: record.KindOpen})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, record.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	release()
	if got := scan(t, l, 0); got != "" {
		t.Errorf("stored: %s", got)
	}
	newWriter(t, l).add("g", "g", "g")
}

// TestFullLogHasRoomForDocuments: the KV has a limit of its own.
func TestFullLogHasRoomForDocuments(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir(), MaxBytes: 2 << 10})
	if _, err := l.Append(t.Context(), "g", 0,
		record.Record{ID: "a", Kind: record.KindOpen, Body: make([]byte, 4<<10)}); !errors.Is(err, record.ErrFull) {
		t.Errorf("append to a full log: %v", err)
	}
	put(t, l, "ledger.g", "1", 0)
}

// TestLimitsFollowTheDisk: streams that were promised more than the disk has
// now are there all the same, with less.
func TestLimitsFollowTheDisk(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir, MaxBytes: 1 << 55})
	w := newWriter(t, l)
	w.add("a", "a")
	l.Close()
	l = open(t, jetstream.Options{Dir: dir})
	if got := scan(t, l, 0); got != "a1 a2" {
		t.Errorf("got %s", got)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	free := int64(disk.Bavail) * disk.Bsize // a tenth of it is nobody's
	if limit := l.StreamConfig().MaxBytes; limit < free*8/10 || limit > free*95/100 {
		t.Errorf("limit of %d bytes of %d", limit, free)
	}
	l.Close()
	l = open(t, jetstream.Options{Dir: dir}) // and the next time they are promised what there is
	if got := scan(t, l, 0); got != "a1 a2" {
		t.Errorf("got %s", got)
	}
}

// image copies the files of a log that runs, as a power cut leaves them.
func image(t *testing.T, dir string) string {
	t.Helper()
	copied := t.TempDir() + "/image"
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// TestPowerCut: everything acknowledged is there, documents and cursors too.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	w := newWriter(t, l)
	for range 10 {
		w.add("a", "b")
	}
	consumeUntil(t, l, 3, 6)
	put(t, l, "ledger.a", "1", 0)
	l = open(t, jetstream.Options{Dir: image(t, dir)})
	if got := scan(t, l, 0); len(strings.Fields(got)) != 20 {
		t.Errorf("got %s", got)
	}
	if d, err := l.Get(t.Context(), "ledger.a"); err != nil || string(d.Body) != "1" {
		t.Errorf("got %+v, %v", d, err)
	}
	if got := consumeUntil(t, l, 3, 1); got[0] != "a7 b8 a9" {
		t.Errorf("consumed %s", got)
	}
}

// TestConsumeAfterTheTailWasLost: other records have the places of those that
// were lost. They have not been consumed.
func TestConsumeAfterTheTailWasLost(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	w := newWriter(t, l)
	w.add("a", "a")
	before := image(t, dir)
	lost := *w
	w.add("b", "b", "b")
	consumeUntil(t, l, 10, 5)
	doc, err := l.Get(t.Context(), "cursor.sink")
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, jetstream.Options{Dir: before})
	put(t, l, "cursor.sink", string(doc.Body), 0)
	lost.l, lost.n, lost.last = l, 5, map[string]record.Record{}
	lost.add("c", "c", "c", "c")
	if got := strings.Join(consumeUntil(t, l, 10, 4), " "); got != "c6 c7 c8 c9" {
		t.Errorf("consumed %s", got)
	}
}

// TestFlippedBit says what becomes of a damaged record, so that nobody learns
// it first when it matters. nats-server reports neither case by itself.
func TestFlippedBit(t *testing.T) {
	flipped := func(t *testing.T, cut bool) (*jetstream.Log, int) {
		t.Helper()
		dir := t.TempDir()
		l := open(t, jetstream.Options{Dir: dir})
		w := newWriter(t, l)
		for range 50 {
			w.add("g")
		}
		if cut {
			dir = image(t, dir)
		}
		l.Close()
		files, err := filepath.Glob(dir + "/jetstream/*/streams/FG_RAW/msgs/*.blk")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		l = open(t, jetstream.Options{Dir: dir})
		n := 0
		for _, err := range l.Read(t.Context(), "g", 0) {
			if err != nil {
				t.Log(err)
				n += 1000
				break
			}
			n++
		}
		return l, n
	}
	t.Run("after an orderly stop", func(t *testing.T) {
		l, n := flipped(t, false)
		if n < 1001 || n > 1049 {
			t.Errorf("reading gave %d: it should end with an error where the record is missing", n)
		}
		if r, err := l.Last(t.Context(), "g"); err != nil || r.ID != "g50" {
			t.Errorf("the newest is %+v, %v", r, err)
		}
		sum := 0
		for _, batch := range consumeUntil(t, l, 100, 49) { // goes on without it, and says so
			sum += len(strings.Fields(batch))
		}
		if sum != 49 {
			t.Errorf("%d records were consumed", sum)
		}
	})
	t.Run("after a power cut", func(t *testing.T) {
		l, n := flipped(t, true)
		if n < 1 || n > 49 {
			t.Errorf("reading gave %d: the server cuts the file off at the record", n)
		}
		r, err := l.Last(t.Context(), "g")
		if err != nil || r.Seq != uint64(n) {
			t.Errorf("the newest is %+v, %v", r, err)
		}
	})
}

// TestNoQuorum: what is left of a cluster answers nothing, rather than
// something.
func TestNoQuorum(t *testing.T) {
	nodes, urls := natstest.Cluster(t, 3)
	l := open(t, jetstream.Options{URL: urls, Timeout: 1e9})
	w := newWriter(t, l)
	w.add("a")
	for _, s := range nodes[:2] {
		s.Shutdown()
		s.WaitForShutdown()
	}
	if _, err := l.Append(t.Context(), "a", w.last["a"].Seq,
		record.Record{ID: "x", Kind: record.KindOpen}); !errors.Is(err, record.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if err := l.Broken(); err != nil {
		t.Errorf("a cluster comes back: %v", err)
	}
}
