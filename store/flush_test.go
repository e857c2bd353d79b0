package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// A bench is a running store in a bubble.
type bench struct {
	*testing.T
	o       store.Options
	clock   *clock.Fake
	s       *store.Store
	stop    func()
	noise   uint64
	crashes int
}

// inStore runs f with a store in virtual time. change may alter its options.
func inStore(t *testing.T, change func(*store.Options), f func(b *bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, clock: clock.NewFake(gateway.BootID{1})}
		b.o = testOptions(dir, b.clock)
		if change != nil {
			change(&b.o)
		}
		b.open()
		f(b)
		b.close()
	})
}

func (b *bench) open() {
	b.Helper()
	s, err := store.Open(b.o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		_ = s.Run(ctx) // always nil
		close(ended)
	}()
	b.s, b.stop = s, func() { cancel(); <-ended }
}

func (b *bench) close() {
	b.Helper()
	b.stop()
	if err := b.s.Close(); err != nil {
		b.Error(err)
	}
}

func (b *bench) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) append(n int) gateway.Name {
	b.Helper()
	rs := make([]gateway.Reading, n)
	for i := range rs {
		rs[i] = gateway.Reading{Channel: channel, Value: float64(i), At: b.clock.Stamp()}
	}
	last, err := b.s.Append(rs)
	if err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
	return last
}

func (b *bench) ack(n gateway.Name) {
	b.Helper()
	if err := b.s.Ack(n.Epoch, n.Seq, false); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

func (b *bench) wantHead(want uint64) {
	b.Helper()
	if got := b.s.Stats().Head; got != want {
		b.Errorf("%d readings are in RAM alone, want %d", got, want)
	}
}

// Promise 2: an unacknowledged reading is on the card after flush_interval,
// also one that came while the ack of earlier ones was outstanding.
func TestFlushWithinInterval(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		for range 3 { // nothing is ever acknowledged
			b.append(1)
			b.sleep(5*time.Second - time.Millisecond)
			b.wantHead(1)
			b.sleep(time.Millisecond)
			b.wantHead(0)
			b.sleep(time.Second)
		}
		b.s.Session(true, time.Minute)
		first := b.append(1)
		b.sleep(time.Second)
		b.append(1)
		b.ack(first)
		b.sleep(5*time.Second - time.Millisecond)
		b.wantHead(2) // the first may wait for history_flush, and the second makes the time
		b.sleep(time.Millisecond)
		b.wantHead(0)
	})
}

// Promise 11: while the cloud acks in time at level fsynced, an hour costs the
// card a handful of commits; at a lower level the acks count for nothing.
func TestBytesWrittenWhenAcknowledgedAtOnce(t *testing.T) {
	for _, c := range []struct {
		fsynced bool
		most    uint64
		least   uint64
	}{{true, 30, 5}, {false, 740, 500}} {
		inStore(t, nil, func(b *bench) {
			b.s.Session(c.fsynced, time.Minute)
			before := b.s.Stats().Commits
			for range 3600 {
				n := b.append(20)
				b.sleep(time.Second)
				b.ack(n)
			}
			commits := b.s.Stats().Commits - before
			if commits > c.most || commits < c.least {
				b.Errorf("fsynced %v: %d commits in an hour, want %d to %d", c.fsynced, commits, c.least, c.most)
			}
		})
	}
}

// What the cloud takes back is due at once.
func TestAckThatGoesBackMakesReadingsDue(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		b.s.Session(true, time.Minute)
		n := b.append(10)
		b.ack(n)
		b.sleep(time.Minute)
		b.wantHead(10)
		b.ack(gateway.Name{Epoch: n.Epoch, Seq: 3})
		b.sleep(0)
		b.wantHead(0)
	})
}

// A card that takes no writes stops nothing, is told once at each transition,
// and what the head could not keep becomes a gap in its place.
func TestCardThatFailsAndRecovers(t *testing.T) {
	var table *health.Table
	inStore(t, func(o *store.Options) { table = health.New(quiet); o.Conditions = table }, func(b *bench) {
		log := filepath.Join(b.o.Dir, "log")
		if err := os.Rename(log, log+".away"); err != nil {
			b.Fatal(err)
		}
		const many = 140_000 // more than the head keeps
		for range many / 1000 {
			b.append(1000)
			b.sleep(time.Second)
		}
		list := table.List()
		if len(list) != 1 || list[0].Code != store.ConditionCard || !strings.Contains(list[0].Sentence, b.o.Dir) {
			b.Fatalf("conditions: %+v", list)
		}
		if window := b.s.Stats().LossWindow; window < 2*time.Minute {
			b.Errorf("the loss window is told as %v while nothing has been written for %d s", window, many/1000)
		}
		if err := os.Rename(log+".away", log); err != nil {
			b.Fatal(err)
		}
		b.sleep(time.Minute)
		b.wantHead(0)
		if list := table.List(); len(list) != 0 {
			b.Errorf("conditions after recovery: %+v", list)
		}
		id := b.s.Epochs()[0].ID
		blk, err := b.s.Next(b.Context(), id, 1, 0)
		if err != nil || blk.Gap == nil || blk.Gap.Why != gateway.WhyCardFailed {
			b.Fatalf("at the start stands %+v, %v; want a gap", blk, err)
		}
		for seq := blk.Last() + 1; seq <= many; seq = blk.Last() + 1 {
			if blk, err = b.s.Next(b.Context(), id, seq, 0); err != nil || blk.Data == nil || blk.First != seq {
				b.Fatalf("at %d stands %+v, %v; want readings", seq, blk.Range, err)
			}
		}
	})
}

// The age of the oldest reading that waits is that reading's own, not that of
// the block it shares with readings the cloud has.
func TestAgeOfTheOldestUnacknowledgedReading(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		b.s.Session(true, time.Minute)
		b.ack(b.append(10))
		b.sleep(time.Minute)
		b.append(1)
		b.sleep(10 * time.Second) // flushed after 5 s, in one block with the others
		b.wantHead(0)
		for range 2 { // read from the card, then remembered
			if age := b.s.Stats().OldestUnackedAge; age != 10*time.Second {
				b.Errorf("the oldest reading waits for %v, want 10s", age)
			}
		}
	})
}
