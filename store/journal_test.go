package store_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// watched is a card that counts its steps, and can hold one back or refuse it.
type watched struct {
	mu    sync.Mutex
	steps []store.Step
	delay time.Duration
	fail  error
}

func (w *watched) Do(s store.Step, act func() error) error {
	w.mu.Lock()
	w.steps = append(w.steps, s)
	delay, fail := w.delay, w.fail
	w.mu.Unlock()
	time.Sleep(delay)
	if fail != nil {
		return fail
	}
	return act()
}

// take gives the steps since the last call.
func (w *watched) take() []store.Step {
	w.mu.Lock()
	defer w.mu.Unlock()
	steps := w.steps
	w.steps = nil
	return steps
}

// hold makes every step take so long.
func (w *watched) hold(delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = delay
}

// refuse makes every step fail; nil: none.
func (w *watched) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

func onWatched(w *watched) func(*store.Options) {
	return func(o *store.Options) { o.Card = w }
}

// Promise 11: a flush is one page in place, and nothing else is written.
func TestFlushIsOnePage(t *testing.T) {
	card := &watched{}
	inStore(t, onWatched(card), func(b *bench) {
		b.append(20)
		b.sleep(5 * time.Second)
		card.take()
		last := int64(-1)
		for range 20 {
			b.append(20)
			b.sleep(5 * time.Second)
			steps := card.take()
			if len(steps) != 1 || steps[0].Point != store.PointSlot || len(steps[0].Writes) != 1 || len(steps[0].Writes[0].Data) != 4096 {
				t.Fatalf("a flush took %+v", steps)
			}
			if at := steps[0].Writes[0].Offset; at == last {
				t.Fatalf("the slot at %d was written over while it held the newest version", at)
			} else {
				last = at
			}
			b.wantHead(0)
		}
		if st := b.s.Stats(); st.Journal != 420 || st.Stored != 0 {
			t.Errorf("%d readings in the journal, %d in volumes, want 420 and none", st.Journal, st.Stored)
		}
	})
}

// A slot that tears costs the flush that was under way, and no earlier one.
func TestTornSlotLeavesTheVersionBefore(t *testing.T) {
	card := &watched{}
	inStore(t, onWatched(card), func(b *bench) {
		id := b.append(100).Epoch
		b.sleep(5 * time.Second)
		b.append(100)
		card.take()
		b.sleep(5 * time.Second)
		torn := card.take()[0].Writes[0].Offset
		b.crash()
		f, err := os.OpenFile(filepath.Join(b.o.Dir, "journal"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 412), torn+100); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		b.open()
		if got := b.next(id, 1, 0); got.Data == nil || got.N != 100 {
			t.Errorf("at the start stands %+v, want the first 100 readings", got.Range)
		}
		if end, _ := b.end(id); end.AtMost < 100 {
			t.Errorf("100 readings were torn, the epoch ends with %+v", end)
		}
	})
}

// What a crash left in the journal goes into a volume, and its slots are used
// again.
func TestJournalGoesIntoAVolumeAfterACrash(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		id := b.append(300).Epoch
		b.sleep(6 * time.Second)
		b.crash()
		b.open()
		b.sleep(time.Second)
		if st := b.s.Stats(); st.Journal != 0 || st.Stored != 300 {
			t.Errorf("%d readings in the journal, %d in volumes, want none and 300", st.Journal, st.Stored)
		}
		if got := b.next(id, 1, 0); got.N != 300 || got.Data == nil {
			t.Errorf("at the start stands %+v", got.Range)
		}
	})
}

// flush_interval = "0s": a reading is on the card when Append returns.
func TestCommitWithoutFlushInterval(t *testing.T) {
	card := &watched{}
	change := func(o *store.Options) { o.FlushInterval, o.Card = 0, card }
	inStore(t, change, func(b *bench) {
		b.append(1)
		card.take()
		for range 10 {
			if _, err := b.s.Append([]gateway.Reading{{Channel: channel, At: b.clock.Stamp()}}); err != nil {
				t.Fatal(err)
			}
			if steps := card.take(); len(steps) != 1 || steps[0].Point != store.PointSlot {
				t.Fatalf("Append returned after %+v", steps)
			}
		}
	})
}

// With "0s" a card that hangs holds sampling up until it counts as failing,
// and from then on no more; what the queue cannot take becomes a gap.
func TestNoIntervalWithACardThatHangs(t *testing.T) {
	card, table := &watched{}, health.New(quiet)
	change := func(o *store.Options) { o.FlushInterval, o.Card, o.Conditions = 0, card, table }
	inStore(t, change, func(b *bench) {
		id := b.append(1).Epoch
		card.hold(time.Hour)
		began := time.Now()
		b.append(1)
		if held := time.Since(began); held != 10*time.Second {
			t.Errorf("Append was held up for %v", held)
		}
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionCard {
			t.Errorf("people are told %+v", list)
		}
		began = time.Now()
		for range 150 {
			b.append(1000)
		}
		if held := time.Since(began); held != 0 {
			t.Errorf("150 calls were held up for %v", held)
		}
		card.hold(0)
		b.sleep(2 * time.Hour)
		if list := table.List(); len(list) != 0 {
			t.Errorf("after the card came back people are told %+v", list)
		}
		_, inGaps := b.gaps(id, 150_002)
		if inGaps == 0 || inGaps > 20_000 {
			t.Errorf("%d readings are in gaps, of 150,002 with room for 131,072", inGaps)
		}
	})
}

// gaps goes along an epoch up to seq and counts readings and what gaps stand
// for.
func (b *bench) gaps(id gateway.EpochID, upto uint64) (readings, inGaps uint64) {
	b.Helper()
	for seq := uint64(1); seq <= upto; {
		got := b.next(id, seq, 0)
		if got.Epoch != id || got.First != seq {
			b.Fatalf("at %d of %v stands %+v", seq, id, got.Range)
		}
		if got.Gap != nil {
			inGaps += got.N
		} else {
			readings += got.N
		}
		seq = got.Last() + 1
	}
	if readings+inGaps != upto {
		b.Errorf("%d readings and %d in gaps, of %d", readings, inGaps, upto)
	}
	return readings, inGaps
}

// A state.db put back from an older copy is noticed by the journal's mark:
// the epochs it does not know are there, none is told to be new, and no name
// is used twice.
func TestOlderStateIsNoticed(t *testing.T) {
	table := health.New(quiet)
	change := func(o *store.Options) { o.Conditions = table }
	inStore(t, change, func(b *bench) {
		b.append(10)
		b.close()
		old, err := os.ReadFile(filepath.Join(b.o.Dir, "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		b.open()
		id := b.append(300).Epoch
		b.sleep(6 * time.Second)
		b.crash()
		if err := os.WriteFile(filepath.Join(b.o.Dir, "state.db"), old, 0o600); err != nil {
			t.Fatal(err)
		}
		b.open()
		es := b.s.Epochs()
		if len(es) != 3 || es[1].ID != id || es[1].Growth != gateway.OpenEnded || es[2].ID == id {
			t.Errorf("the epochs are %+v, want the middle one to be %v", es, id)
		}
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionDamage {
			t.Errorf("people are told %+v", list)
		}
		if got := b.next(id, 1, 0); got.N != 300 || got.Data == nil {
			t.Errorf("at the start stands %+v", got.Range)
		}
		synctest.Wait()
	})
}
