package jetstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestOneConsumes: of two servers one consumes, and says again and again that
// it is there; the other goes on when it has ended.
func TestOneConsumes(t *testing.T) {
	t.Parallel() // most of it is waiting
	s := serve(t, nil)
	first, second := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1}), open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	w := newWriter(t, first)
	w.add("a", "a", "a")
	consume := func(l *jetstream.Log, got chan<- string) (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- l.Consume(ctx, "sink", 1, func(_ context.Context, es []record.Entry) error {
				got <- es[0].ID
				return nil
			})
		}()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	held := func() (holder string, rev uint64) {
		d, err := first.Get(t.Context(), "cursor.sink")
		var at struct{ Holder string }
		if err == nil {
			err = json.Unmarshal(d.Body, &at)
		}
		if err != nil {
			t.Fatal(err)
		}
		return at.Holder, d.Rev
	}
	mine, theirs := make(chan string), make(chan string, 10)
	end := consume(first, mine)
	if got := <-mine; got != "a1" {
		t.Errorf("got %s", got)
	}
	endSecond := consume(second, theirs)
	defer endSecond()
	for _, want := range []string{"a2", "a3"} { // the second is there, and gets none of these
		<-time.After(jetstream.RenewEvery * 6 / 10)
		if got := <-mine; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	holder, rev := held()
	lateness := e2e.Lateness(t)
	for start := time.Now(); ; <-time.After(50 * time.Millisecond) { // without a record
		now, at := held()
		if now != holder || holder == "" {
			t.Fatalf("held by %q, then by %q", holder, now)
		}
		if at > rev+1 {
			break
		}
		if took := time.Since(start); took > 3*jetstream.RenewEvery && took > 3*jetstream.RenewEvery+3*lateness() {
			t.Fatal("the holder does not say that it is there")
		}
	}
	end()
	if holder, _ := held(); holder != "" && len(theirs) == 0 {
		t.Errorf("held by %q after the end", holder)
	}
	w.add("a")
	if got := <-theirs; got != "a4" {
		t.Errorf("the second got %s", got)
	}
}

// TestBatchesAreBounded: large records come a few at a time.
func TestBatchesAreBounded(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	var seq uint64
	for i := range 20 {
		var err error
		r := record.Record{ID: fmt.Sprint("g", i), PrevSeq: seq, Kind: record.KindOpen, Body: make([]byte, 900<<10)}
		if seq, err = l.Append(t.Context(), "g", seq, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, batch := range consumeUntil(t, l, 1000, 20) {
		if n := len(strings.Fields(batch)); n > 10 { // 8 MiB, and what makes them full
			t.Errorf("%d records of 900 KiB at once", n)
		}
	}
}

// TestMessagesThatWentElsewhere: somebody takes messages from the consumer that
// reads the log. What is missing is noticed, and read again.
func TestMessagesThatWentElsewhere(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	w.add("a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 200)
	done := make(chan error)
	go func() {
		done <- l.Consume(ctx, "sink", 1, func(_ context.Context, es []record.Entry) error {
			got <- es[0].ID
			return nil
		})
	}()
	next := func() {
		t.Helper()
		w.n++
		if id, want := <-got, fmt.Sprint("a", w.n); id != want {
			t.Fatalf("got %s, want %s", id, want)
		}
	}
	w.n = 0
	next()
	stolen := 0
	for try := 0; stolen == 0 && try < 10; try++ {
		for name := range l.Stream().ConsumerNames(ctx).Name() {
			c, err := l.Stream().Consumer(ctx, name)
			if err != nil {
				continue // it has gone
			}
			go func() { <-time.After(50 * time.Millisecond); addTo(t, l, "a", 20) }()
			batch, err := c.Fetch(20, natsjs.FetchMaxWait(time.Second))
			for batch != nil && err == nil {
				m, ok := <-batch.Messages()
				if !ok {
					break
				}
				_ = m
				stolen++
			}
			for range 20 {
				next()
			}
		}
	}
	if stolen == 0 {
		t.Error("nothing went elsewhere: the test does not see what it is there for")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// pauseAll makes every consumer of the log one that is there, but gives nothing.
func pauseAll(t *testing.T, l *jetstream.Log) (paused int) {
	t.Helper()
	for name := range l.Stream().ConsumerNames(t.Context()).Name() {
		if _, err := l.Stream().PauseConsumer(t.Context(), name, time.Now().Add(time.Hour)); err == nil {
			paused++
		}
	}
	return paused
}

// TestConsumersThatGiveNothing: what the leader has and a reader is not given,
// it gets by another consumer.
func TestConsumersThatGiveNothing(t *testing.T) {
	t.Parallel() // most of it is waiting
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	for range 300 {
		w.add("a")
	}
	n, paused := 0, 0
	for _, err := range l.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 { // some more have been sent ahead
			paused = pauseAll(t, l)
		}
	}
	if n != 300 || paused != 1 {
		t.Errorf("%d records, %d consumers paused", n, paused)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, done := make(chan string), make(chan error)
	go func() {
		done <- l.Consume(ctx, "sink", 400, func(_ context.Context, es []record.Entry) error {
			got <- es[len(es)-1].ID
			return nil
		})
	}()
	for id := ""; id != "a300"; id = <-got {
	}
	for start := time.Now(); pauseAll(t, l) == 0; { // it waits for the next record
		if time.Since(start) > e2e.Patience {
			t.Fatal("nobody waits")
		}
	}
	w.add("a")
	if id := <-got; id != "a301" {
		t.Errorf("got %s", id)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// addTo appends n records to a gateway's chain, wherever that is.
func addTo(t *testing.T, l *jetstream.Log, g string, n int) {
	last, err := l.Last(t.Context(), g)
	for range n {
		at, _ := strconv.Atoi(strings.TrimPrefix(last.ID, g))
		r := record.Record{ID: fmt.Sprint(g, at+1), Prev: last.ID, PrevSeq: last.Seq, Kind: record.KindOpen}
		if err == nil {
			r.Seq, err = l.Append(t.Context(), g, last.Seq, r)
		}
		if err != nil {
			t.Error(err)
			return
		}
		last = r
	}
}

// TestYoungRecordsStayOnACluster: which record is the newest of a gateway, a
// server that lags behind may not know yet.
func TestYoungRecordsStayOnACluster(t *testing.T) {
	s := serve(t, nil)
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	newWriter(t, l).add("a", "a", "a", "a")
	consumeUntil(t, l, 10, 4)
	if err := l.Purge(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, l, 0); got != "a1 a2 a3 a4" {
		t.Errorf("left: %s", got)
	}
}

// TestCursorMovedWithoutAnAnswer: the same move again is no move of another's.
func TestCursorMovedWithoutAnAnswer(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	newWriter(t, l).add("a", "a", "a")
	consumeUntil(t, l, 1, 1)
	if err := l.MoveTwice(t.Context(), "sink", func() {}); err != nil {
		t.Errorf("moved twice: %v", err)
	}
	err := l.MoveTwice(t.Context(), "sink", func() { put(t, l, "cursor.sink", `{"seq":1}`, record.AnyRev) })
	if err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("with another's move between: %v", err)
	}
}
