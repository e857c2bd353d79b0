package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A writer appends to the chains of gateways.
type writer struct {
	t    testing.TB
	l    *jetstream.Log
	last map[string]record.Record
	n    int
}

func newWriter(t testing.TB, l *jetstream.Log) *writer {
	return &writer{t: t, l: l, last: map[string]record.Record{}}
}

// add appends a record to each gateway and gives the place of the last.
func (w *writer) add(gateways ...string) uint64 {
	w.t.Helper()
	for _, g := range gateways {
		w.n++
		prev := w.last[g]
		r := record.Record{ID: fmt.Sprintf("%s%d", g, w.n), Prev: prev.ID, PrevSeq: prev.Seq, Kind: record.KindOpen, Body: []byte("body")}
		seq, err := w.l.Append(w.t.Context(), g, prev.Seq, r)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Seq = seq
		w.last[g] = r
	}
	return w.last[gateways[len(gateways)-1]].Seq
}

// scan gives the ids of all records from a place on.
func scan(t testing.TB, l *jetstream.Log, from uint64) string {
	t.Helper()
	var ids []string
	for e, err := range l.Scan(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.ID, e.GatewayID) {
			t.Errorf("record %s is said to be of %s", e.ID, e.GatewayID)
		}
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

func TestScan(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	if got := scan(t, l, 0); got != "" {
		t.Errorf("an empty log gives %s", got)
	}
	w := newWriter(t, l)
	w.add("a", "b", "a")
	mid := w.add("b")
	w.add("a")
	if got := scan(t, l, 0); got != "a1 b2 a3 b4 a5" {
		t.Errorf("got %s", got)
	}
	if got := scan(t, l, mid); got != "b4 a5" {
		t.Errorf("from %d: got %s", mid, got)
	}
	if got := scan(t, l, mid+2); got != "" {
		t.Errorf("from behind the end: got %s", got)
	}
	n := 0
	for _, err := range l.Scan(t.Context(), 0) { // what comes meanwhile is not for it
		if err != nil {
			t.Fatal(err)
		}
		if n++; n < 5 {
			w.add("a")
		}
	}
	if n < 5 || n > 6 {
		t.Errorf("%d records of the 5 or 6 that were there", n)
	}
}

// consumeUntil consumes until n records came, and gives their ids batch by
// batch.
func consumeUntil(t *testing.T, l *jetstream.Log, batch, n int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var batches []string
	err := l.Consume(ctx, "sink", batch, func(_ context.Context, es []record.Entry) error {
		var ids []string
		for _, e := range es {
			ids = append(ids, e.ID)
		}
		batches = append(batches, strings.Join(ids, " "))
		if n -= len(es); n <= 0 {
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return batches
}

func TestConsumeGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	w := newWriter(t, l)
	w.add("a", "b", "a", "b", "a")
	if got := strings.Join(consumeUntil(t, l, 2, 3), "|"); got != "a1 b2|a3 b4" {
		t.Errorf("got %s", got)
	}
	l.Close()
	l = open(t, jetstream.Options{Dir: dir})
	w.l = l
	w.add("b")
	if got := strings.Join(consumeUntil(t, l, 10, 2), "|"); got != "a5 b6" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestConsumeWaitsForRecords(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	came := make(chan string)
	done := make(chan error)
	go func() {
		done <- l.Consume(ctx, "sink", 10, func(_ context.Context, es []record.Entry) error {
			came <- es[0].ID
			return nil
		})
	}()
	w := newWriter(t, l)
	for _, want := range []string{"a1", "a2", "a3"} {
		w.add("a")
		if got := <-came; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRefusedBatchComesAgain(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	newWriter(t, l).add("a", "a", "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	err := l.Consume(ctx, "sink", 2, func(_ context.Context, es []record.Entry) error {
		got = append(got, es[0].ID)
		if len(got) == 1 {
			return errors.New("the database is away")
		}
		if len(got) == 3 {
			cancel()
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "a1 a1 a3" {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestConsumeAfterTheLogWasLost makes the stream anew: what is in it then has
// been consumed by nobody, whatever the cursor says.
func TestConsumeAfterTheLogWasLost(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	newWriter(t, l).add("a", "a", "a")
	consumeUntil(t, l, 10, 3)
	if err := l.DeleteStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, jetstream.Options{Dir: dir})
	w := newWriter(t, l)
	w.add("a", "b", "a", "a")
	if got := strings.Join(consumeUntil(t, l, 10, 4), "|"); got != "a1 b2 a3 a4" {
		t.Errorf("got %s", got)
	}
	if err := l.Purge(t.Context(), 0); err != nil { // and what it has passed of this one may go
		t.Fatal(err)
	}
	if got := scan(t, l, 0); got != "b2 a3 a4" {
		t.Errorf("left: %s", got)
	}
}

func TestConsumeIsUsedWrongly(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, c := range []struct {
		name  string
		batch int
	}{{"", 1}, {"a.b", 1}, {"*", 1}, {"a", 0}} {
		if err := l.Consume(t.Context(), c.name, c.batch, nil); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestPurge(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	w.add("quiet", "a", "b", "a", "b", "a", "b")
	purge := func(age time.Duration, want string) {
		t.Helper()
		if err := l.Purge(t.Context(), age); err != nil {
			t.Fatal(err)
		}
		if got := scan(t, l, 0); got != want {
			t.Errorf("left: %s, want %s", got, want)
		}
	}
	purge(time.Hour, "quiet1 a2 b3 a4 b5 a6 b7")
	consumeUntil(t, l, 4, 4)
	purge(0, "quiet1 a4 b5 a6 b7") // what the sink has passed, less the newest of quiet and the predecessor of a
	w.add("quiet", "a", "b", "quiet")
	foreign, err := l.Stream().CreateConsumer(t.Context(), natsjs.ConsumerConfig{Durable: "foreign", AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	consumeUntil(t, l, 10, 7)
	purge(0, "quiet1 a4 b5 a6 b7 quiet8 a9 b10 quiet11")
	if err := l.Stream().DeleteConsumer(t.Context(), foreign.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	purge(0, "a6 b7 quiet8 a9 b10 quiet11")
	if r, err := l.Last(t.Context(), "quiet"); err != nil || r.ID != "quiet11" {
		t.Errorf("the newest record of quiet is %+v, %v", r, err)
	}
}

// TestPurgeWholeStream has no quiet gateway below the age, so that the server
// can drop whole files.
func TestPurgeWholeStream(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	for range 20 {
		w.add("a", "b")
	}
	consumeUntil(t, l, 10, 10) // then none is newest or predecessor below
	if err := l.Purge(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, l, 0); !strings.HasPrefix(got, "a11 b12 ") {
		t.Errorf("left: %s", got)
	}
}

// TestPurgeLeavesNoVoidRecordInFront: x was written by a session that knew
// another tail than the log has.
func TestPurgeLeavesNoVoidRecordInFront(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	w.add("a", "a")
	known := w.last["a"]
	seq, err := l.Append(t.Context(), "a", known.Seq, record.Record{ID: "ax", Prev: "lost", PrevSeq: known.Seq, Kind: record.KindOpen})
	if err != nil {
		t.Fatal(err)
	}
	r := record.Record{ID: "ay", Prev: known.ID, PrevSeq: known.Seq, Kind: record.KindOpen}
	if r.Seq, err = l.Append(t.Context(), "a", seq, r); err != nil {
		t.Fatal(err)
	}
	w.last["a"] = r
	w.n = 2
	w.add("a", "a", "a")
	consumeUntil(t, l, 2, 2)
	if err := l.Purge(t.Context(), 0); err != nil { // ax would be the first
		t.Fatal(err)
	}
	if got := scan(t, l, 0); got != "a1 a2 ax ay a3 a4 a5" {
		t.Errorf("left: %s", got)
	}
	consumeUntil(t, l, 1, 1)
	if err := l.Purge(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, l, 0); got != "ay a3 a4 a5" {
		t.Errorf("left: %s", got)
	}
}

// BenchmarkRead streams one gateway's records out of those of several.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{300, 24 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := openB(b)
			last := map[string]uint64{}
			const n = 2000
			for i := range 4 * n {
				g := fmt.Sprint("g", i%4)
				seq, err := l.Append(b.Context(), g, last[g], record.Record{ID: fmt.Sprint(i), Kind: record.KindOpen, Body: make([]byte, size)})
				if err != nil {
					b.Fatal(err)
				}
				last[g] = seq
			}
			var got atomic.Int64
			for b.Loop() {
				for _, err := range l.Read(b.Context(), "g1", 0) {
					if err != nil {
						b.Fatal(err)
					}
					got.Add(1)
				}
			}
			if got.Load() != int64(b.N)*n {
				b.Fatalf("%d records", got.Load())
			}
			b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
