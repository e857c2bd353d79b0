package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
)

func (b *bench) next(id gateway.EpochID, seq uint64, maxBytes int) gateway.Block {
	b.Helper()
	got, err := b.s.Next(b.Context(), id, seq, maxBytes)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// The card gives whole blocks byte for byte; from the middle, and where they
// are too big, parts that say which readings they hold.
func TestBlocksAndPartsOfThem(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		id := b.append(1000).Epoch
		b.sleep(6 * time.Second)
		b.wantHead(0)
		whole := b.next(id, 1, 0)
		if whole.First != 1 || whole.N != 1000 {
			b.Fatalf("got %d readings from %d", whole.N, whole.First)
		}
		if again := b.next(id, 1, len(whole.Data)); !bytes.Equal(again.Data, whole.Data) {
			b.Error("the second time the block is another")
		}
		dec := block.NewDecoder()
		for seq, parts := uint64(400), 0; seq <= 1000; parts++ {
			part := b.next(id, seq, 300)
			h, rs, err := dec.Decode(part.Data)
			if err != nil {
				b.Fatal(err)
			}
			if len(part.Data) > 300 || h.Range != part.Range || part.First != seq || uint64(len(rs)) != part.N {
				b.Fatalf("asked for 300 bytes from %d, got %d bytes of %+v, header %+v", seq, len(part.Data), part.Range, h.Range)
			}
			if rs[0].Value != float64(seq-1) {
				b.Fatalf("reading %d is %v", seq, rs[0].Value)
			}
			seq += part.N
		}
		if _, err := b.s.Next(b.Context(), id, 1, 10); !errors.Is(err, store.ErrTooSmall) {
			b.Errorf("10 bytes: %v", err)
		}
		if _, err := b.s.Next(b.Context(), gateway.NewEpochID(), 1, 0); !errors.Is(err, store.ErrEpoch) {
			b.Errorf("an epoch that never was: %v", err)
		}
		if err := b.s.Ack(id, 1001, false); !errors.Is(err, store.ErrAckBeyond) || b.s.Stats().Unacked != 1000 {
			b.Errorf("an ack beyond the last reading: %v, %d unacknowledged", err, b.s.Stats().Unacked)
		}
	})
}

// Next waits for the next reading of the growing epoch, for its context, or
// for the end of the store.
func TestNextWaitsForTheNextReading(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		id := b.append(1).Epoch
		type answer struct {
			gateway.Block
			err error
		}
		wait := func(ctx context.Context, seq uint64) chan answer {
			c := make(chan answer, 1)
			go func() {
				got, err := b.s.Next(ctx, id, seq, 0)
				c <- answer{got, err}
			}()
			synctest.Wait()
			return c
		}
		ctx, cancel := context.WithCancel(b.Context())
		first, second, given := wait(b.Context(), 2), wait(b.Context(), 2), wait(ctx, 2)
		if len(first)+len(second)+len(given) > 0 {
			b.Fatal("an answer before there was a reading")
		}
		cancel()
		if a := <-given; !errors.Is(a.err, context.Canceled) {
			b.Errorf("cancelled: %v", a.err)
		}
		b.append(3)
		for _, c := range []chan answer{first, second} {
			if a := <-c; a.err != nil || a.First != 2 || a.N != 3 {
				b.Errorf("got %+v, %v", a.Range, a.err)
			}
		}
		last := wait(b.Context(), 5)
		b.close()
		if a := <-last; !errors.Is(a.err, store.ErrClosed) {
			b.Errorf("closed: %v", a.err)
		}
		if _, err := b.s.Append(nil); !errors.Is(err, store.ErrClosed) {
			b.Errorf("append to a closed store: %v", err)
		}
		b.open()
	})
}

// Readers that come while the store is closed are turned away. None of them
// opens a file again, nor takes a closed one for a damaged one.
func TestReadersWhileClosing(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		id := b.append(100).Epoch
		b.sleep(6 * time.Second)
		for range 20 { // the moment is short
			b.closeUnderReaders(id)
			b.open()
		}
		if _, err := os.Stat(filepath.Join(b.o.Dir, "quarantine")); !errors.Is(err, os.ErrNotExist) {
			b.Errorf("something was taken for damaged: %v", err)
		}
		if whole := b.next(id, 1, 0); whole.N != 100 {
			b.Errorf("after closing: %d readings", whole.N)
		}
	})
}

func (b *bench) closeUnderReaders(id gateway.EpochID) {
	b.Helper()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for {
				_, err := b.s.Next(b.Context(), id, 1, 0)
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.close()
	readers.Wait()
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, b.o.Dir) {
			b.Errorf("%s is still open", name)
		}
	}
}

// Append does not allocate, even while the card takes nothing and the oldest
// are dropped.
func TestAppendDoesNotAllocate(t *testing.T) {
	o := testOptions(t.TempDir(), stopped{})
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rs := make([]gateway.Reading, 20)
	for i := range rs {
		rs[i].Channel = channel
	}
	visit := func() { _, _ = s.Append(rs) }
	for range 10_000 { // nothing commits: the ring grows to its bound
		visit()
	}
	if s.Stats().Dropped == 0 {
		t.Fatal("the ring has not come to its bound")
	}
	if n := testing.AllocsPerRun(1000, visit); n > 0 {
		t.Errorf("%v allocations for one Append", n)
	}
}

// stopped is a clock that stands still.
type stopped struct{}

func (stopped) Stamp() gateway.Stamp   { return 1 }
func (stopped) Anchor() gateway.Anchor { return gateway.Anchor{} }
