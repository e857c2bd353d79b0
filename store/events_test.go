package store_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store"
)

// happen adds an event, which is durable then.
func (b *bench) happen(kind gateway.EventKind, body string) gateway.Name {
	b.Helper()
	name, err := b.s.AddEvent(gateway.Event{Kind: kind, Device: "boiler", Body: json.RawMessage(body)})
	if err != nil {
		b.Fatal(err)
	}
	return name
}

// waiting gives the events that the cloud does not have, those of openings
// left out.
func (b *bench) waiting() (events []gateway.Event) {
	b.Helper()
	all, _ := b.s.NextEvents(gateway.Name{}, 1<<20)
	for _, ev := range all {
		if ev.Kind != gateway.EventBoot {
			events = append(events, ev)
		}
	}
	return events
}

// Events are there after a crash, in their order, under names that are never
// used twice; the cloud's acks move the cursor, also back.
func TestEventsOverCrashes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	inStore(t, nil, func(b *bench) {
		var names []gateway.Name
		seen := map[gateway.Name]bool{}
		acked := 0 // events, as the store was told
		for i := range 120 {
			name := b.happen(gateway.EventSensor, fmt.Sprintf(`{"n":%d}`, i))
			if seen[name] {
				t.Fatalf("the name %v was used twice", name)
			}
			seen[name] = true
			names = append(names, name)
			switch random.IntN(8) {
			case 0:
				b.crash()
				b.open()
				if len(b.waiting()) < len(names)-acked {
					t.Fatalf("%d events wait after a crash, want %d at least", len(b.waiting()), len(names)-acked)
				}
				b.s.AckEvents(lastOf(names[:acked])) // welcome tells again
			case 1:
				b.close()
				b.open()
			case 2, 3:
				acked = random.IntN(len(names) + 1)
				b.s.AckEvents(lastOf(names[:acked]))
			}
			waiting := b.waiting()
			if len(waiting) != len(names)-acked {
				t.Fatalf("%d events wait, want %d: %+v", len(waiting), len(names)-acked, waiting)
			}
			for k, ev := range waiting {
				if ev.Name != names[acked+k] || string(ev.Body) != fmt.Sprintf(`{"n":%d}`, acked+k) || ev.Volatile {
					t.Fatalf("event %d is %+v, want %v", acked+k, ev, names[acked+k])
				}
			}
		}
		if next, _ := b.s.NextEvents(names[3], 2); len(next) != 2 {
			t.Errorf("behind an event stand %+v", next)
		}
		b.s.AckEvents(gateway.Name{Epoch: gateway.EpochID{9}, Seq: 9})
		if n := len(b.waiting()); n != len(names) {
			t.Errorf("the cloud knows none of them, and %d of %d are sent again", n, len(names))
		}
	})
}

func lastOf(names []gateway.Name) gateway.Name {
	if len(names) == 0 {
		return gateway.Name{Epoch: gateway.EpochID{1}, Seq: 1} // one that is not held
	}
	return names[len(names)-1]
}

// The lane is bounded: what the cloud has goes first, then repeats become one,
// then the oldest go, and an event says how many.
func TestEventsAreBounded(t *testing.T) {
	inStore(t, func(o *store.Options) { o.MaxEvents = 20_000 }, func(b *bench) {
		b.s.AckEvents(b.happen(gateway.EventAlarm, `"acknowledged"`))
		for range 100 {
			b.happen(gateway.EventSensor, `"the same again"`)
		}
		events := b.waiting()
		total := uint64(0)
		for _, ev := range events {
			total += ev.N
		}
		if total != 100 || len(events) > 80 {
			t.Errorf("%d events stand for %d, want 100", len(events), total)
		}
		for i := range 300 {
			b.happen(gateway.EventSensor, fmt.Sprint(i))
		}
		b.crash()
		b.open()
		var given, more struct{ N uint64 }
		total = 0
		for _, ev := range b.waiting() {
			if ev.Kind == gateway.EventEventsDropped {
				if err := json.Unmarshal(ev.Body, &more); err != nil {
					t.Fatal(err)
				}
				given.N += more.N
				continue
			}
			total += ev.N
		}
		if given.N == 0 || given.N+total != 400 {
			t.Errorf("%d are told to be given up, %d are there, of 400", given.N, total)
		}
	})
}

// gate is a card that lets no step begin until it is opened.
type gate struct {
	open  chan struct{}
	steps atomic.Int64
}

func (g *gate) Do(_ store.Step, act func() error) error {
	<-g.open
	g.steps.Add(1)
	return act()
}

// Many events at once are few commits.
func TestEventsOfABurstAreWrittenTogether(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	o := testOptions(t.TempDir(), clock.NewFake(gateway.BootID{1}))
	o.Card = g
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	g.open = make(chan struct{})
	g.steps.Store(0)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, err := s.AddEvent(gateway.Event{Kind: gateway.EventSensor}); err != nil {
				t.Error(err)
			}
		})
	}
	for len(s.Events(2000)) < 1001 { // and that of the opening
		runtime.Gosched()
	}
	close(g.open)
	wg.Wait()
	if n := g.steps.Load(); n > 2 {
		t.Errorf("1000 events took %d steps", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An event that the card refuses is sent all the same, and written later.
func TestEventsOnACardThatFails(t *testing.T) {
	card := &watched{}
	inStore(t, onWatched(card), func(b *bench) {
		card.refuse(unix.ENOSPC)
		if _, err := b.s.AddEvent(gateway.Event{Kind: gateway.EventAlarm}); err == nil {
			t.Error("told to be durable")
		}
		if events := b.waiting(); len(events) != 1 || !events[0].Volatile {
			t.Errorf("waiting are %+v", events)
		}
		card.refuse(nil)
		b.sleep(time.Minute)
		b.crash()
		b.open()
		if events := b.waiting(); len(events) != 1 || events[0].Volatile {
			t.Errorf("after the card came back and a crash, waiting are %+v", events)
		}
	})
}

// Promise 7: a command's record and its result are on the card together or
// not at all, whatever the card does.
func TestCommandAndResultInOneTransaction(t *testing.T) {
	card := &watched{}
	inStore(t, onWatched(card), func(b *bench) {
		result := &gateway.Event{Kind: gateway.EventResult, Body: json.RawMessage(`{"id":"c-1"}`)}
		accepted := gateway.CommandRecord{ID: "c-1", State: gateway.CommandAccepted}
		done := gateway.CommandRecord{ID: "c-1", State: gateway.CommandDone}
		if err := b.s.SaveCommand(accepted, nil); err != nil {
			t.Fatal(err)
		}
		card.refuse(unix.EIO)
		if err := b.s.SaveCommand(done, result); err == nil {
			t.Fatal("told to be durable")
		}
		if c, known := b.s.Command("c-1"); !known || c.State != gateway.CommandAccepted || len(b.waiting()) != 0 {
			t.Errorf("after a write that failed the record is %+v, waiting are %+v", c, b.waiting())
		}
		card.refuse(nil)
		b.sleep(time.Minute)
		card.take()
		if err := b.s.SaveCommand(done, result); err != nil {
			t.Fatal(err)
		}
		if steps := card.take(); len(steps) != 1 || steps[0].Point != store.PointState {
			t.Errorf("record and result took %+v", steps)
		}
		b.crash()
		b.open()
		synctest.Wait()
		if c, known := b.s.Command("c-1"); !known || c.State != gateway.CommandDone || len(b.waiting()) != 1 {
			t.Errorf("after a crash the record is %+v, waiting are %+v", c, b.waiting())
		}
		if err := b.s.SaveCommand(gateway.CommandRecord{}, nil); err == nil {
			t.Error("a command without an id was kept")
		}
	})
}
