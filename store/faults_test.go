package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// A fault is what goes wrong with one step.
type fault struct {
	name    string
	err     error // nil: it is only late
	hang    bool  // for 20 s
	applied bool  // although it is said to have failed
	short   bool  // only a part of what it writes reaches the card
}

var faults = []fault{
	{name: "ENOSPC", err: unix.ENOSPC},
	{name: "ENOSPC, applied", err: unix.ENOSPC, applied: true},
	{name: "EIO", err: unix.EIO},
	{name: "EIO, applied", err: unix.EIO, applied: true},
	{name: "short write", err: unix.EIO, short: true},
	{name: "20 s", hang: true, applied: true},
	{name: "20 s, then EIO", err: unix.EIO, hang: true},
	{name: "20 s, then EIO, applied", err: unix.EIO, hang: true, applied: true},
}

// points are the kinds of steps, and whether people must be told when one
// fails: what only leaves a file longer, or there, goes into the log.
var points = map[store.Point]bool{
	store.PointSlot: true, store.PointFile: true, store.PointRename: true, store.PointCommit: true, store.PointState: true,
	store.PointLink: true, store.PointCut: false, store.PointUnlink: false,
}

// Every kind of step fails in every way, once: sampling goes on, people are
// told, the store recovers by itself, and every reading is accounted for:
// afterwards, and if power is cut at that very moment.
func TestEveryStepFailsInEveryWay(t *testing.T) {
	for point, loud := range points {
		for _, f := range faults {
			if writes := []store.Point{store.PointSlot, store.PointFile, store.PointCommit, store.PointState}; f.short &&
				!slices.Contains(writes, point) {
				continue
			}
			if raced && f.name != "EIO, applied" && f.name != "20 s" {
				continue // ten times slower, and no more is to be seen
			}
			t.Run(fmt.Sprintf("%s %s", point, f.name), func(t *testing.T) { oneFault(t, point, f, loud) })
		}
	}
}

// hearing remembers whether anything was raised.
type hearing struct {
	*health.Table
	raised bool
}

func (h *hearing) Raise(code, subject string, severity health.Severity, sentence string) {
	h.raised = true
	h.Table.Raise(code, subject, severity, sentence)
}

func oneFault(t *testing.T, point store.Point, f fault, loud bool) {
	card := &trick{}
	table := &hearing{Table: health.New(quiet)}
	change := func(o *store.Options) {
		o.MaxSize, o.Rate, o.Burst, o.History, o.Card, o.Conditions = 8<<20, 1e6, 5000, 0, card, table
	}
	dir, image := t.TempDir(), ""
	var then *storetest.Ledger
	var before []gateway.EpochID
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		var mu sync.Mutex // steps are taken by the store's goroutine
		card.set(func(s store.Step, act func() error) error {
			mu.Lock()
			if s.Point != point || image != "" || len(l.Epochs) == 0 {
				mu.Unlock()
				return act()
			}
			image = filepath.Join(dir, "image")
			es, st := b.s.Epochs(), b.s.Stats()
			then = l.Copy()
			mu.Unlock()
			g := es[len(es)-1]
			then.Change(g.ID, func(a *storetest.Account) { a.Durable = max(a.Durable, g.Last-min(g.Last, st.Head)) })
			for _, e := range es {
				before = append(before, e.ID) // read when the store is closed
			}
			err := f.happen(s, act)
			return errors.Join(err, os.CopyFS(image, os.DirFS(b.o.Dir)))
		})
		step := func(n int) {
			began := time.Now()
			mu.Lock()
			b.noted(l, n)
			mu.Unlock()
			if held := time.Since(began); held != 0 {
				t.Errorf("Append was held up for %v", held)
			}
			b.sleep(30 * time.Second)
		}
		b.life(point, r, step, func(change func(*storetest.Ledger)) {
			mu.Lock()
			defer mu.Unlock()
			change(l)
		})
		if image == "" {
			t.Fatal("no such step was taken")
		}
		b.sleep(2 * time.Minute)
		for _, c := range table.List() {
			if c.Code == store.ConditionCard {
				t.Errorf("two minutes later people are still told %+v", c)
			}
		}
		if (loud || f.hang) && !table.raised {
			t.Error("nobody was told")
		}
		b.wantHead(0)
		r.welcome(b.s)
		r.drain(b.s, -1)
		gaps := r.settle(l)
		if point != store.PointLink && len(gaps) > 0 {
			t.Errorf("readings are lost: %v", gaps)
		}
	})
	auditImage(t, image, then, before, point == store.PointLink)
}

// life does what every kind of step belongs to.
func (b *bench) life(point store.Point, r *receiver, step func(int), note func(func(*storetest.Ledger))) {
	b.Helper()
	step(100)
	b.sleep(11 * time.Minute) // state.db with the next flush
	for range 32 {
		step(5000) // into volumes, until one is full
	}
	step(100)
	if point == store.PointLink {
		b.breakVolume()
		note(func(l *storetest.Ledger) { l.Damaged = true })
		b.next(b.s.Epochs()[0].ID, 1, 0)
		step(100)
	}
	for range 3 {
		r.welcome(b.s)
		r.drain(b.s, -1)
		for _, e := range b.s.Epochs() {
			note(func(l *storetest.Ledger) {
				l.Change(e.ID, func(a *storetest.Account) { a.MayForget, a.Acked = a.Acked, e.Acked })
			})
		}
		b.sleep(2 * time.Minute)
		step(100)
	}
}

// breakVolume overwrites the middle of the first volume.
func (b *bench) breakVolume() {
	b.Helper()
	f, err := os.OpenFile(b.volume("000001"), os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 5*4096), 2*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		b.Fatal(err)
	}
}

// happen has the fault happen to a step.
func (f fault) happen(s store.Step, act func() error) error {
	var err error
	switch {
	case f.short:
		err = cutShort(s.Path, act)
	case f.applied:
		err = act()
	}
	if f.hang {
		time.Sleep(20 * time.Second)
	}
	return errors.Join(err, f.err)
}

// cutShort lets only the first half of the changed sectors of a file reach the
// card. bbolt's meta pages, which it writes last, are not among them.
func cutShort(path string, act func() error) error {
	before, _ := os.ReadFile(path) // may not be there
	if err := act(); err != nil {
		return err
	}
	after, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const sector = 512
	before = append(before, make([]byte, max(0, len(after)-len(before)))...)
	var changed []int
	for at := 0; at < len(after); at += sector {
		if !bytes.Equal(after[at:min(at+sector, len(after))], before[at:min(at+sector, len(after))]) {
			changed = append(changed, at)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for i, at := range changed {
		meta := at < 2*4096 && filepath.Ext(path) == ".db"
		if i >= len(changed)/2 || meta {
			_, werr := f.WriteAt(before[at:min(at+sector, len(after))], int64(at))
			err = errors.Join(err, werr)
		}
	}
	return errors.Join(err, f.Close())
}

// auditImage opens what was on the card when the fault had happened.
func auditImage(t *testing.T, image string, l *storetest.Ledger, before []gateway.EpochID, damaged bool) {
	t.Helper()
	if image == "" {
		return
	}
	inStore(t, func(o *store.Options) { o.Dir, o.Rate, o.Burst, o.History = image, 1e6, 5000, 0 }, func(b *bench) {
		l.Damaged = damaged
		if _, err := l.Audit(b.s); err != nil {
			t.Errorf("after a cut at that moment: %v", err)
		}
		if es := b.s.Epochs(); slices.Contains(before, es[len(es)-1].ID) {
			t.Error("after a cut at that moment an epoch is used again")
		}
	})
}
