package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// loop puts in the place of a file or folder what the kernel refuses to open,
// for everybody (ELOOP); mend puts it back.
func loop(t *testing.T, path string) (mend func()) {
	t.Helper()
	if err := errors.Join(os.Rename(path, path+".aside"), os.Symlink(filepath.Base(path), path)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// drainReadable takes all that can be read, and tells whether something could
// not.
func (r *receiver) drainReadable(s *store.Store) (held bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, e := range s.Epochs() {
		for {
			st := r.state(s, e.ID)
			if st.Done && st.Acked >= st.Last {
				break
			}
			b, err := s.Next(ctx, e.ID, r.of(e.ID).upto+1, 0)
			if errors.Is(err, store.ErrUnreadable) {
				held = true
				break
			}
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				r.t.Fatal(err)
			}
			r.take(b)
			r.ack(s, e.ID)
		}
	}
	return held
}

func codes(table *health.Table) string {
	var all []string
	for _, c := range table.List() {
		all = append(all, c.Code+" "+c.Subject+": "+c.Sentence)
	}
	return strings.Join(all, "\n")
}

// A file, folder or lock of the store that the kernel does not open at a start
// is not damaged: nothing becomes a gap, nothing goes into quarantine, sampling
// goes on, people are told, and when the cause has gone everything is there,
// without a restart.
func TestWhatCannotBeOpenedIsKept(t *testing.T) {
	for _, name := range []string{".", "lock", "log", "state.db", "journal", "log/000001.db", "log/000002.db"} {
		for _, crash := range []bool{false, true} {
			for _, restart := range []bool{false, true} {
				t.Run(strings.Join([]string{name, map[bool]string{false: "closed", true: "crashed"}[crash],
					map[bool]string{false: "mended while it runs", true: "mended before the next start"}[restart]}, ", "),
					func(t *testing.T) { keepsUnopened(t, name, crash, restart) })
			}
		}
	}
}

func keepsUnopened(t *testing.T, name string, crash, restart bool) {
	var table *health.Table
	inStore(t, tellAll(&table), func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 5000) // a volume
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		b.noted(l, 5000) // another one
		b.sleep(6 * time.Second)
		b.noted(l, 200) // the journal
		b.sleep(6 * time.Second)
		b.happen(gateway.EventSensor, `{"n":1}`)
		if crash {
			b.crash()
		} else {
			b.close()
		}
		mend := loop(t, filepath.Join(b.o.Dir, name))
		b.open()
		if said := codes(table); !strings.Contains(said, store.ConditionUnreadable) ||
			!strings.Contains(said, "something else stands in the place of") {
			t.Errorf("people are told: %s", said)
		}
		if b.s.KnowsAll() {
			t.Error("the cloud is told that all epochs are listed")
		}
		b.noted(l, 300)
		b.sleep(time.Minute)
		r.welcome(b.s)
		r.drainReadable(b.s)
		b.happen2(gateway.EventSensor, `{"n":2}`)
		r.settleHeld(l)
		if !restart {
			mend()
			b.sleep(2 * time.Minute)
			if said := codes(table); said != "" {
				t.Errorf("after the cause has gone people are told: %s", said)
			}
			if !b.s.KnowsAll() {
				t.Error("not everything is listed after the cause has gone")
			}
			b.wantHead(0)
			b.wantBoth()
			r.welcome(b.s)
			r.drain(b.s, -1)
			wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
		}
		if name != "." || !restart {
			b.noted(l, 100)
			b.close()
		} else if err := b.closed(); err == nil { // there is no place at all for what is in RAM
			t.Error("readings in RAM were lost, and Close said nothing")
		}
		if restart {
			mend()
		}
		table = health.New(quiet) // that of another process
		b.o.Conditions = table
		b.open()
		b.sleep(time.Minute)
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
		if said := codes(table); said != "" {
			t.Errorf("in the end people are told: %s", said)
		}
		if name != "." || !restart {
			b.wantBoth()
		}
		if aside, _ := filepath.Glob(filepath.Join(b.o.Dir, "quarantine", "*")); len(aside) > 0 {
			t.Errorf("in quarantine: %v", aside)
		}
		for id, e := range r.held {
			if e.end != nil && !e.end.Closed && !crash {
				t.Errorf("epoch %v ended open: %+v", id, *e.end)
			}
		}
	})
}

// closed closes the store, which may fail.
func (b *bench) closed() error {
	b.stop()
	return b.s.Close()
}

// settleHeld checks what is with the receiver while a part is held back: no
// gap, and no open end.
func (r *receiver) settleHeld(l *storetest.Ledger) {
	r.t.Helper()
	for id, e := range r.held {
		if len(e.gaps) > 0 {
			r.t.Errorf("epoch %v: %d readings that are held became gaps", id, len(e.gaps))
		}
		if missing := uint64(len(l.Epochs[id].Values)) - e.upto; e.end != nil && missing > 0 {
			r.t.Errorf("epoch %v ended %+v, and %d readings are held", id, *e.end, missing)
		}
	}
}

// happen2 adds an event that the card need not take.
func (b *bench) happen2(kind gateway.EventKind, body string) {
	_, _ = b.s.AddEvent(gateway.Event{Kind: kind, Device: "boiler", Body: []byte(body)}) // it is kept in RAM, and the error says so
}

// wantBoth looks for both events of the test.
func (b *bench) wantBoth() {
	b.Helper()
	var got []string
	for _, ev := range b.waiting() {
		if ev.Kind == gateway.EventSensor {
			got = append(got, string(ev.Body))
		}
	}
	slices.Sort(got)
	if strings.Join(got, " ") != `{"n":1} {"n":2}` {
		b.Errorf("events %v", got)
	}
}
