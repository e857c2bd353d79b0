package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// copyOf copies the store's folder as it is on the card now.
func (b *bench) copyOf() string {
	b.Helper()
	synctest.Wait()
	b.crashes++
	dir := filepath.Join(b.TempDir(), fmt.Sprint("copy", b.crashes))
	if err := os.CopyFS(dir, os.DirFS(b.o.Dir)); err != nil {
		b.Fatal(err)
	}
	return dir
}

// goOnFrom leaves the store as a power cut does and goes on with a folder.
func (b *bench) goOnFrom(dir string) {
	b.Helper()
	b.stop()
	_ = b.s.Close() // into a folder that nobody looks at any more
	b.o.Dir = dir
	b.open()
}

// An image is restored, and the board is offline until it has more readings
// than the cloud ever had of it.
func TestRestoredImageBeyondOldAck(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 100)
		b.sleep(6 * time.Second)
		old := b.s.Epochs()[0].ID
		image := b.copyOf()
		r.welcome(b.s)
		b.noted(l, 100)
		r.drain(b.s, -1)
		b.goOnFrom(image)
		for range 3 {
			b.noted(l, 300)
			b.sleep(6 * time.Second)
			b.close()
			b.open()
		}
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
		if e := r.of(old); e.upto != 200 || e.end == nil || e.end.Closed {
			b.Errorf("the old epoch: up to %d, end %+v; want 200 and an open end", e.upto, e.end)
		}
	})
}

// Two boards with one card's contents take turns. Their names never meet; what
// the original sends behind the end that the copy told is taken.
func TestClonesThatRunAlternately(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 100)
		b.sleep(6 * time.Second)
		shared := b.s.Epochs()[0].ID
		twin := &bench{T: b.T, clock: b.clock, o: b.o}
		twin.o.Dir = b.copyOf()
		twin.open()
		for range 4 {
			for _, board := range []*bench{twin, b} {
				board.noted(l, 70)
				board.sleep(6 * time.Second)
				r.welcome(board.s)
				r.drain(board.s, -1)
			}
			twin.close()
			twin.open()
		}
		if e := r.of(shared); e.upto != 100+4*70 {
			b.Errorf("the epoch of both: up to %d", e.upto)
		}
		r.drain(twin.s, -1)
		twin.close()
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}

// The card fails until the head drops its oldest readings, is back, and then
// power is cut: the gap is durable with what stands behind it.
func TestRingDroppedCardBackCut(t *testing.T) {
	card := &trick{}
	change := func(o *store.Options) { o.Rate, o.Burst, o.Card = 1e6, 10_000, card }
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 5000)
		b.sleep(6 * time.Second)
		card.set(refuse(unix.EIO))
		for range 20 {
			b.noted(l, 10_000)
			b.sleep(6 * time.Second)
		}
		card.set(nil)
		b.sleep(time.Minute)
		b.wantHead(0)
		b.goOnFrom(b.copyOf())
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{gateway.WhyCardFailed: 200_000 - 131_072})
	})
}

// state.db is replaced by a copy of last week: epochs that it does not know
// are found by their readings, and nothing is lost or named twice.
func TestStateReplacedByLastWeeksCopy(t *testing.T) {
	var table *health.Table
	change := func(o *store.Options) { tellAll(&table)(o); o.History = 30 * 24 * time.Hour }
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 500)
		b.sleep(6 * time.Second)
		old, err := os.ReadFile(filepath.Join(b.o.Dir, "state.db"))
		if err != nil {
			b.Fatal(err)
		}
		for range 7 {
			r.welcome(b.s)
			r.drain(b.s, 1)
			b.noted(l, 500)
			b.sleep(24 * time.Hour)
			b.close()
			b.open()
			b.noted(l, 100)
			b.sleep(6 * time.Second)
		}
		image := b.copyOf()
		if err := os.WriteFile(filepath.Join(image, "state.db"), old, 0o600); err != nil {
			b.Fatal(err)
		}
		b.goOnFrom(image)
		if list := table.List(); len(list) == 0 || list[0].Code != store.ConditionDamage {
			b.Errorf("nobody is told: %+v", list)
		}
		b.noted(l, 100)
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}
