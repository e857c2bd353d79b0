package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

var pulses = &gateway.Channel{Device: "water", Quantity: "count", Unit: "count"}

func counting(o *store.Options) { o.Totals = []gateway.Channel{*pulses} }

// count appends a total.
func (b *bench) count(v float64) gateway.Name {
	b.Helper()
	name, err := b.s.Append([]gateway.Reading{{Channel: pulses, Value: v, At: b.clock.Stamp()}})
	if err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
	return name
}

func (b *bench) wantTotal(want float64, name gateway.Name) {
	b.Helper()
	got, found, sure := b.s.Total("water", "count")
	if !found || !sure || got.Value != want || got.Name != name || got.Anchor.Boot != (gateway.BootID{1}) {
		b.Errorf("the total is %+v (found %v, sure %v), want %v of %v", got, found, sure, want, name)
	}
}

func TestTotalIsFoundAgain(t *testing.T) {
	inStore(t, counting, func(b *bench) {
		if _, found, sure := b.s.Total("water", "count"); found || !sure {
			t.Error("a new store knows a total, or is not sure that there is none")
		}
		b.count(10)
		b.append(20)
		last := b.count(12)
		b.append(20)
		b.sleep(6 * time.Second)
		b.count(13) // never durable
		b.crash()   // in the journal
		b.open()
		b.wantTotal(12, last)
		last = b.count(14)
		b.append(20_000)
		b.sleep(6 * time.Second)
		b.crash() // in a volume
		b.open()
		b.wantTotal(14, last)
		last = b.count(15)
		b.close() // in order
		b.open()
		b.wantTotal(15, last)
		b.close() // a life without one
		b.open()
		b.wantTotal(15, last)
		last = b.count(16)
		if _, err := b.s.Split(); err != nil {
			t.Fatal(err)
		}
		b.append(5)
		b.sleep(6 * time.Second)
		b.crash() // in an epoch that was split off
		b.open()
		b.wantTotal(16, last)
	})
}

// The reading itself is forgotten: state.db still knows it.
func TestTotalOutlivesItsReading(t *testing.T) {
	inStore(t, func(o *store.Options) { counting(o); o.History = time.Minute }, func(b *bench) {
		last := b.count(17)
		b.append(10)
		b.close()
		b.open()
		b.append(10)
		b.acknowledge()
		b.sleep(time.Hour)
		b.close()
		volumes, err := filepath.Glob(filepath.Join(b.o.Dir, "log", "*.db"))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range volumes {
			if err := os.Remove(v); err != nil {
				t.Fatal(err)
			}
		}
		b.open()
		got, found, _ := b.s.Total("water", "count")
		if !found || got.Value != 17 || got.Name != last {
			t.Errorf("the total is %+v, %v", got, found)
		}
	})
}

// state.db is lost: the readings tell, and the store says that it is not sure.
func TestTotalWithoutState(t *testing.T) {
	inStore(t, counting, func(b *bench) {
		last := b.count(18)
		b.append(100)
		b.close()
		if err := os.Remove(filepath.Join(b.o.Dir, "state.db")); err != nil {
			t.Fatal(err)
		}
		b.open()
		got, found, sure := b.s.Total("water", "count")
		if !found || sure || got.Value != 18 || got.Name != last {
			t.Errorf("the total is %+v, found %v, sure %v", got, found, sure)
		}
	})
}

// A copy of an older card goes on from its own total, and no two readings get one
// name.
func TestTotalOfACopiedCard(t *testing.T) {
	inStore(t, counting, func(b *bench) {
		old := b.count(19)
		b.sleep(6 * time.Second)
		image := b.copyOf()
		b.count(25)
		b.sleep(6 * time.Second)
		b.goOnFrom(image)
		b.wantTotal(19, old)
	})
}

// What is noted is durable before the readings that come after it.
func TestNotedBeforeReadings(t *testing.T) {
	card := &trick{}
	inStore(t, func(o *store.Options) { counting(o); o.Card = card }, func(b *bench) {
		var steps []store.Point
		card.set(func(at store.Step, act func() error) error {
			steps = append(steps, at.Point)
			return act()
		})
		name := b.s.Note(gateway.Event{Kind: gateway.EventPulsesLost, Device: "water"})
		if events := b.s.Events(1); !events[0].Volatile {
			t.Error("Note wrote to the card")
		}
		last := b.count(20)
		b.sleep(6 * time.Second)
		if len(steps) < 2 || steps[0] != store.PointState {
			t.Errorf("the card was written at %v, want state.db first", steps)
		}
		b.crash()
		b.open()
		b.wantTotal(20, last)
		if got := b.waiting(); len(got) != 1 || got[0].Name != name {
			t.Errorf("the card has the reading, and of the events before it %v", got)
		}
	})
}
