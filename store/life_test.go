package store_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// A life is a store whose steps are recorded, and the ledger of what it was
// given.
type life struct {
	*bench
	card   *storetest.Recorder
	random *rand.Rand

	mu     sync.Mutex // steps are taken by the store's goroutine too
	ledger *storetest.Ledger
	opened *store.Store // nil while there is none that may be asked
}

// A told is a step and what had been promised before it was done.
type told struct {
	storetest.Recorded
	ledger *storetest.Ledger
}

// live runs script with a store and hands every step to emit.
func live(t *testing.T, seed uint64, change func(*store.Options), script func(*life), emit func(told)) {
	t.Helper()
	l := &life{ledger: storetest.NewLedger(), random: rand.New(rand.NewPCG(seed, 3))}
	l.card = &storetest.Recorder{Emit: func(r storetest.Recorded) {
		emit(told{r, l.note()})
	}}
	dir := filepath.Join(ramDir(t), "life")
	recorded := func(o *store.Options) {
		o.Dir = dir
		if change != nil {
			change(o)
		}
		o.Card, l.card.Root = l.card, o.Dir
	}
	inStore(t, recorded, func(b *bench) {
		l.bench = b
		l.ask(b.s)
		script(l)
		l.restart()
	})
	if err := l.card.Err(); err != nil {
		t.Errorf("the recorder cannot read the folder: %v", err)
	}
}

// ask says which store may be asked what is on the card.
func (l *life) ask(s *store.Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = s
}

// note asks the store what is on the card, and gives the ledger as it is now.
func (l *life) note() *storetest.Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened != nil {
		es, st := l.opened.Epochs(), l.opened.Stats()
		g := es[len(es)-1]
		l.ledger.Change(g.ID, func(a *storetest.Account) { a.Durable = max(a.Durable, g.Last-min(g.Last, st.Head)) })
	}
	return l.ledger.Copy()
}

// change alters the account of an epoch.
func (l *life) change(id gateway.EpochID, change func(*storetest.Account)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Change(id, change)
}

func (l *life) growing() gateway.EpochID {
	es := l.s.Epochs()
	return es[len(es)-1].ID
}

// give appends noise at the rate that is allowed.
func (l *life) give(n int) {
	l.Helper()
	for n > 0 {
		k := min(n, l.o.Burst)
		rs := make([]gateway.Reading, k)
		values := make([]float64, k)
		for i := range rs {
			values[i] = l.random.Float64()
			rs[i] = gateway.Reading{Channel: channel, Value: values[i], At: l.clock.Stamp()}
		}
		l.change(l.growing(), func(a *storetest.Account) { a.Values = append(a.Values, values...) })
		if _, err := l.s.Append(rs); err != nil {
			l.Fatal(err)
		}
		n -= k
		l.sleep(time.Duration(float64(k) / l.o.Rate * float64(time.Second)))
	}
}

// flush has the store say that all is on the card.
func (l *life) flush() {
	l.Helper()
	if err := l.s.Flush(); err != nil {
		l.Fatal(err)
	}
	l.allDurable(l.growing(), false)
}

func (l *life) allDurable(id gateway.EpochID, closed bool) {
	l.change(id, func(a *storetest.Account) { a.Durable, a.Closed = uint64(len(a.Values)), closed })
}

func (l *life) split() {
	l.Helper()
	old := l.growing()
	id, err := l.s.Split()
	if err != nil {
		l.Fatal(err)
	}
	if id != old {
		l.allDurable(old, true)
	}
}

// restart stops in good order and starts again.
func (l *life) restart() {
	l.Helper()
	id := l.growing()
	l.close()
	l.ask(nil)
	l.allDurable(id, true)
	l.card.Look()
	l.open()
	l.ask(l.s)
}

// cut goes on from what is on the card now. change may damage it.
func (l *life) cut(change func(storetest.Dir) storetest.Dir) {
	l.Helper()
	synctest.Wait()
	l.note()
	at := l.card.Look()
	l.ask(nil)
	l.card.Off = true
	l.close()
	if err := os.RemoveAll(l.o.Dir); err != nil {
		l.Fatal(err)
	}
	if change != nil {
		at = change(at)
	}
	if err := at.Write(l.o.Dir); err != nil {
		l.Fatal(err)
	}
	l.card.Off = false
	l.card.Begin()
	l.open()
	l.ask(l.s)
}

// acknowledge has the cloud take everything, and prove it later.
func (l *life) acknowledge() {
	l.Helper()
	l.acknowledgeOf(func(last uint64) uint64 { return last })
}

// acknowledgeOf has the cloud take every epoch up to a reading of it.
func (l *life) acknowledgeOf(upto func(last uint64) uint64) {
	l.Helper()
	l.s.Session(true, time.Minute)
	for range 3 {
		for _, e := range l.s.Epochs() {
			n := max(upto(e.Last), l.ledger.Epochs[e.ID].Acked)
			done := n == e.Last && e.Growth != gateway.Growing
			l.change(e.ID, func(a *storetest.Account) {
				a.MayForget, a.Over = a.Acked, done && a.Acked == e.Last
				a.Acked = n
			})
			if err := l.s.Ack(e.ID, n, done); err != nil {
				l.Fatal(err)
			}
		}
		l.sleep(2 * time.Minute)
	}
}
