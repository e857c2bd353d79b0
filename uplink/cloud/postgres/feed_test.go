package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A memFeed is a Feed as a page of plain Go. It keeps the contract of Consume
// at its least kind: a batch that was refused comes again at once.
type memFeed struct {
	mu       sync.Mutex
	entries  []record.Entry
	passed   uint64 // the consumer has come so far
	arrival  chan struct{}
	progress chan struct{}
}

func newMemFeed() *memFeed {
	return &memFeed{arrival: make(chan struct{}), progress: make(chan struct{})}
}

func (f *memFeed) Scan(_ context.Context, from uint64) iter.Seq2[record.Entry, error] {
	f.mu.Lock()
	entries := slices.Clone(f.entries)
	f.mu.Unlock()
	return func(yield func(record.Entry, error) bool) {
		for _, e := range entries {
			if e.Seq >= from && !yield(e, nil) {
				return
			}
		}
	}
}

func (f *memFeed) Purge(context.Context, time.Duration) error { panic("not used") }

func (f *memFeed) Consume(ctx context.Context, _ string, batch int, take func(context.Context, []record.Entry) error) error {
	for ctx.Err() == nil {
		f.mu.Lock()
		var next []record.Entry
		for _, e := range f.entries {
			if e.Seq > f.passed && len(next) < batch {
				next = append(next, e)
			}
		}
		arrival := f.arrival
		f.mu.Unlock()
		if len(next) == 0 {
			select {
			case <-arrival:
			case <-ctx.Done():
			}
			continue
		}
		err := take(ctx, next)
		if behind := new(record.BehindError); errors.As(err, &behind) {
			f.set(func() { f.passed = behind.Seq })
		}
		if err == nil {
			f.set(func() { f.passed = next[len(next)-1].Seq })
		}
	}
	return nil
}

// set changes the feed and wakes who waits for that.
func (f *memFeed) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.arrival)
	close(f.progress)
	f.arrival, f.progress = make(chan struct{}), make(chan struct{})
}

func (f *memFeed) done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.entries)
	return n == 0 || f.passed >= f.entries[n-1].Seq
}

// await waits until everything has been passed.
func (f *memFeed) await(t testing.TB) {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for {
		f.mu.Lock()
		progress := f.progress
		f.mu.Unlock()
		if f.done() {
			return
		}
		select {
		case <-progress:
		case <-deadline:
			t.Fatal("not everything was passed in time")
		}
	}
}

// A board writes the records of one gateway.
type board struct {
	t    testing.TB
	feed *memFeed
	id   string
	last record.Record
	enc  *block.Encoder
}

func newBoard(t testing.TB, feed *memFeed, id string) *board {
	return &board{t: t, feed: feed, id: id, enc: block.NewEncoder()}
}

// put appends a record that follows prev.
func (b *board) put(r, prev record.Record) record.Record {
	r.ID, r.Prev, r.PrevSeq, r.At = rand.Text(), prev.ID, prev.Seq, time.Now()
	b.feed.set(func() {
		r.Seq = 1
		if n := len(b.feed.entries); n > 0 {
			r.Seq = b.feed.entries[n-1].Seq + 1
		}
		b.feed.entries = append(b.feed.entries, record.Entry{GatewayID: b.id, Record: r})
	})
	return r
}

func (b *board) record(r record.Record, m wire.Message) {
	b.t.Helper()
	r.Body = b.encode(m)
	b.last = b.put(r, b.last)
}

func (b *board) encode(m wire.Message) []byte {
	b.t.Helper()
	body, err := wire.Encode(m)
	if err != nil {
		b.t.Fatal(err)
	}
	return body
}

// update stores u as the server does, counting from first on.
func (b *board) update(first uint64, u *wire.Update) {
	b.t.Helper()
	r := record.Record{Kind: record.KindUpdate, Epoch: u.Epoch, First: first, N: u.First + u.N - first, Lane: u.Lane}
	if u.Gap != nil {
		r.Kind = record.KindGap
	}
	if u.Thinned != nil {
		r.Kind = record.KindThinned
	}
	b.record(r, u)
}

func (b *board) event(ev *wire.Event) {
	b.t.Helper()
	b.record(record.Record{Kind: record.KindEvent, Epoch: ev.Epoch, First: ev.Seq}, ev)
}

// blockOf encodes readings from first on.
func (b *board) blockOf(e gateway.EpochID, first uint64, a gateway.Anchor, rs []gateway.Reading) []byte {
	b.t.Helper()
	data, err := b.enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: a}, rs)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// send stores an update of n readings from first on, a second apart: the value
// of each is its seq, its stamp seq seconds.
func (b *board) send(e gateway.EpochID, first uint64, n int, a gateway.Anchor) {
	b.t.Helper()
	b.update(first, &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: uint64(n),
		Blocks: [][]byte{b.blockOf(e, first, a, counting(first, n))}})
}

var boiler = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

func counting(first uint64, n int) []gateway.Reading {
	rs := make([]gateway.Reading, n)
	for i := range rs {
		seq := first + uint64(i)
		rs[i] = gateway.Reading{Channel: boiler, Value: float64(seq), At: gateway.Stamp(seq * 1_000_000)}
	}
	return rs
}

// epochID gives epochs that can be told apart in a message.
func epochID(n byte) gateway.EpochID { return gateway.EpochID{0: n, 15: n} }

func wantRows(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", lines(got), lines(want))
	}
}

func lines(rows []string) (text string) {
	for _, r := range rows {
		text += fmt.Sprintf("  %s\n", r)
	}
	return text
}
