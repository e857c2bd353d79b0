package command_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
)

// A command acts, is told at once and as events, and a repeat gets the same
// answer without acting.
func TestCommandActsOnceAndAnswersRepeats(t *testing.T) {
	onBench(t, func(b *bench) {
		b.plant.will(func(id string) (time.Duration, error) {
			if id == "c-2" {
				return 0, errors.New("the relay does not answer")
			}
			return 0, nil
		})
		b.give(pump("c-1", time.Minute))
		b.give(pump("c-2", time.Minute))
		b.give(gateway.Command{ID: "c-3", Device: "none", Action: "set", TTL: time.Minute})
		b.give(pump("c-1", time.Minute))
		b.want("c-1", running, done, done)
		b.want("c-2", running, failed)
		b.want("c-3", rejected)
		b.wantActed("c-1", "c-2")
		b.reboot(2)
		again := pump("c-1", time.Minute)
		again.Again = true
		for _, c := range []gateway.Command{again, pump("c-2", time.Minute), {ID: "c-3", Device: "pump", Action: "set", TTL: time.Minute}} {
			b.give(c)
		}
		b.want("c-1", done)
		b.want("c-2", failed)
		b.want("c-3", rejected)
		b.wantActed("c-1", "c-2")
		if got := b.events("c-1"); !slices.Equal(got, []gateway.CommandState{running, done}) {
			t.Errorf("the events tell %v", got)
		}
		for _, r := range b.told {
			if r.ID == "c-2" && r.Error != "the relay does not answer" || r.ID == "c-1" && (r.Value == nil || *r.Value != 1) {
				t.Errorf("the stored answer is %+v", r)
			}
		}
	})
}

// Expiry counts from the receipt, by the clock that never jumps: whatever the
// wall clock shows, and while the card takes its time.
func TestCommandExpiryByBootClock(t *testing.T) {
	onBench(t, func(b *bench) {
		b.clock.Set(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), gateway.ClockNone, 0)
		late := b.clock.Stamp()
		time.Sleep(time.Minute)
		b.dispatcher.Take(pump("late", time.Minute), late)
		b.give(pump("zero", 0))
		b.card.set(nil, false, 3*time.Second)
		b.give(pump("slow", 2*time.Second))
		time.Sleep(30 * time.Second)
		b.card.set(nil, false, 0)
		b.want("late", expired)
		b.want("zero", expired)
		b.want("slow", running, expired)
		b.wantActed()

		// expires counts once the time is known, and not before.
		past := pump("past", time.Hour)
		past.Expires = time.Now().Add(-time.Second)
		b.give(past)
		b.clock.Set(time.Now(), gateway.ClockSession, time.Second)
		time.Sleep(2 * time.Second)
		past.ID = "past-2"
		b.give(past)
		b.want("past", running, done)
		b.want("past-2", expired)
		b.give(gateway.Command{ID: "far", Device: "pump", Action: "set", TTL: 8 * 24 * time.Hour})
		b.want("far", rejected)
	})
}

// Commands of one device act in order of seq, one at a time; another device's
// do not wait for them, and who waits too long expires while it waits.
func TestOrderAndBusyDevices(t *testing.T) {
	onBench(t, func(b *bench) {
		b.plant.will(func(id string) (time.Duration, error) {
			if id == "long" {
				return 10 * time.Minute, nil
			}
			return 0, nil
		})
		seq := func(id string, n uint64, ttl time.Duration) gateway.Command {
			c := pump(id, ttl)
			c.Seq = n
			return c
		}
		b.give(seq("long", 1, time.Minute))
		b.give(seq("third", 4, time.Hour))
		b.give(seq("second", 3, time.Hour))
		b.give(seq("short", 2, time.Minute))
		b.give(seq("last", 0, time.Hour)) // without a number: as it came
		other := pump("other", time.Minute)
		other.Device, other.Seq = "valve", 5
		b.give(other)
		b.want("other", running, done)
		b.want("second", accepted)
		time.Sleep(62 * time.Second)
		b.want("short", accepted, expired)
		time.Sleep(10 * time.Minute)
		b.wantActed("long", "other", "second", "third", "last")

		b.plant.will(func(string) (time.Duration, error) { return time.Minute, nil })
		for i := range 20 {
			c := pump(fmt.Sprintf("d-%d", i), time.Hour)
			c.Device = fmt.Sprintf("valve-%d", i)
			b.give(c)
		}
		if n := len(b.plant.did()) - 5; n != 8 {
			t.Errorf("%d act at a time, want 8", n)
		}
		time.Sleep(5 * time.Minute)
		if n := len(b.plant.did()) - 5; n != 20 {
			t.Errorf("%d acted, want 20", n)
		}
	})
}

// A command whose record the card does not take does not act; a result that
// it does not take is told all the same, answers repeats, and is written when
// the card works again.
func TestCardThatTakesNoRecord(t *testing.T) {
	for _, applied := range []bool{false, true} {
		onBench(t, func(b *bench) {
			b.plant.will(func(string) (time.Duration, error) { return 10 * time.Second, nil })
			b.give(pump("c-1", time.Minute))
			b.card.set(unix.ENOSPC, applied, 0)
			other := pump("c-2", time.Minute)
			other.Device = "valve"
			b.give(other)
			b.give(other)
			b.want("c-2", rejected, rejected)
			time.Sleep(11 * time.Second)
			b.give(pump("c-1", time.Minute))
			b.want("c-1", running, done, done)
			b.card.set(nil, false, 0)
			time.Sleep(2 * time.Minute)
			before := b.card.did()
			time.Sleep(10 * time.Minute)
			if n := b.card.did() - before; n > 20 {
				t.Errorf("applied %v: %d steps on the card in ten minutes, when all is saved", applied, n)
			}
			b.reboot(2)
			b.give(other)
			b.give(pump("c-1", time.Minute))
			b.want("c-2", rejected)
			b.want("c-1", done)
			b.wantActed("c-1")
			if got := b.events("c-1"); !slices.Contains(got, done) || slices.Contains(got, unknown) {
				t.Errorf("applied %v: the events tell %v", applied, got)
			}
		})
	}
}

// After a restart in the same boot what waited may still act; after a reboot
// only if the time is known and proves that it may.
func TestWaitingCommandsOverRestarts(t *testing.T) {
	for _, c := range []struct {
		name    string
		boot    byte
		before  gateway.ClockQuality // in the first boot
		after   gateway.ClockQuality // in the second
		learned bool                 // the time becomes known a minute later
		ttl     time.Duration
		want    []gateway.CommandState
		doubt   [2]time.Duration // bound on the error of the clock, in each boot
	}{
		{"same boot", 0, gateway.ClockNone, gateway.ClockNone, false, time.Hour, []gateway.CommandState{running, done}, [2]time.Duration{}},
		{"same boot, too late", 0, gateway.ClockNone, gateway.ClockNone, false, time.Minute, []gateway.CommandState{expired}, [2]time.Duration{}},
		{"reboot, time known", 2, gateway.ClockNTP, gateway.ClockNTP, false, time.Hour,
			[]gateway.CommandState{running, done}, [2]time.Duration{}},
		{"reboot, time known, too late", 2, gateway.ClockNTP, gateway.ClockNTP, false, time.Minute,
			[]gateway.CommandState{expired}, [2]time.Duration{}},
		{"reboot, time learned", 2, gateway.ClockNTP, gateway.ClockRTC, true, time.Hour,
			[]gateway.CommandState{running, done}, [2]time.Duration{}},
		{"reboot, time never learned", 2, gateway.ClockNTP, gateway.ClockRTC, false, time.Hour,
			[]gateway.CommandState{expired}, [2]time.Duration{}},
		{"reboot, time was known badly", 2, gateway.ClockNTP, gateway.ClockNTP, false, time.Hour,
			[]gateway.CommandState{expired}, [2]time.Duration{time.Hour, 0}},
		{"reboot, time is known badly", 2, gateway.ClockNTP, gateway.ClockNTP, false, time.Hour,
			[]gateway.CommandState{expired}, [2]time.Duration{0, time.Hour}},
		{"reboot, time was not known", 2, gateway.ClockRTC, gateway.ClockNTP, false, time.Hour,
			[]gateway.CommandState{expired}, [2]time.Duration{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, func(b *bench) {
				b.clock.Set(time.Now(), c.before, c.doubt[0])
				time.Sleep(2 * time.Second) // the clock is looked at once a second
				b.plant.will(func(string) (time.Duration, error) { return 100 * time.Second, nil })
				b.give(pump("first", time.Minute))
				b.give(pump("waits", c.ttl))
				b.want("waits", accepted)
				b.stop()
				if err := b.s.Close(); err != nil {
					t.Fatal(err)
				}
				if c.boot != 0 {
					b.clock = clock.NewFake(gateway.BootID{c.boot})
				}
				b.clock.Set(time.Now(), c.after, c.doubt[1])
				b.forget()
				b.open()
				time.Sleep(time.Minute)
				if c.learned {
					b.want("waits")
					b.clock.Set(time.Now(), gateway.ClockSession, time.Second)
				}
				time.Sleep(2 * time.Hour)
				b.want("waits", c.want...)
				b.give(pump("waits", c.ttl))
				b.give(pump("first", c.ttl))
				b.want("first", done)
			})
		})
	}
}

// A command of an earlier boot whose receipt has no wall time, and whose
// expires lies far ahead, still does not outlive its TTL: that began, at the
// latest, with this boot.
func TestTTLOverRebootWithFarExpires(t *testing.T) {
	onBench(t, func(b *bench) {
		b.clock.Set(time.Now(), gateway.ClockRTC, 0)
		time.Sleep(2 * time.Second)
		b.plant.will(func(string) (time.Duration, error) { return 20 * time.Minute, nil })
		waits := pump("waits", 10*time.Minute)
		waits.Expires = time.Now().Add(24 * time.Hour)
		b.give(pump("first", time.Minute))
		b.give(waits)
		b.want("waits", accepted)
		b.stop()
		if err := b.s.Close(); err != nil {
			t.Fatal(err)
		}
		b.clock = clock.NewFake(gateway.BootID{2})
		b.clock.Set(time.Now(), gateway.ClockRTC, 0)
		b.forget()
		b.open()
		b.give(pump("busy", time.Minute)) // its device is busy until the TTL is over
		b.clock.Set(time.Now(), gateway.ClockNTP, 0)
		time.Sleep(time.Hour)
		b.want("waits", expired)
		b.wantActed("first", "busy")
	})
}

// What ran when the gateway stopped is unknown, if it was broken off.
func TestBrokenOffIsUnknown(t *testing.T) {
	onBench(t, func(b *bench) {
		b.plant.will(func(string) (time.Duration, error) { return time.Hour, nil })
		b.plant.mu.Lock()
		b.plant.hears = true
		b.plant.mu.Unlock()
		b.give(pump("c-1", time.Minute))
		b.reboot(0)
		b.give(pump("c-1", time.Minute))
		b.want("c-1", unknown)
		b.wantActed("c-1")
	})
}

// A command that may have been received before and is not known: one that its
// sender never sends twice, or asks about, is unknown; any other acts.
func TestCommandThatIsNotKnown(t *testing.T) {
	onBench(t, func(b *bench) {
		again := pump("lost", time.Minute)
		again.Again = true
		b.give(again)
		once := again
		once.ID, once.Once = "once", true
		b.give(once)
		asked := again
		asked.ID, asked.TTL = "asked", 0
		b.give(asked)
		b.want("lost", running, done)
		b.want("once", unknown)
		b.want("asked", unknown)
		b.wantActed("lost")
		once.Again = false
		b.give(once) // came late: it is settled
		b.want("once", unknown, unknown)
	})
}

// What was sent before may have acted, where the records were lost.
func TestCommandOfLostRecords(t *testing.T) {
	onBench(t, func(b *bench) {
		b.give(pump("first", time.Minute))
		b.close()
		if err := os.Remove(filepath.Join(b.dir, "state.db")); err != nil {
			t.Fatal(err)
		}
		b.forget()
		b.open()
		again := pump("first", time.Minute)
		again.Again = true
		b.give(again)
		b.give(pump("new", time.Minute))
		b.want("first", unknown)
		b.wantActed("first", "new")
	})
}

// A gateway that stops while the card is written does not begin to act.
func TestStopWhileACommandIsRecorded(t *testing.T) {
	onBench(t, func(b *bench) {
		b.card.mu.Lock()
		b.card.during = b.cancel
		b.card.mu.Unlock()
		b.give(pump("c-1", time.Minute))
		b.stop()
		b.want("c-1", running, rejected)
		b.wantActed()
		if err := b.s.Close(); err != nil {
			t.Fatal(err)
		}
		b.open()
	})
}

// More than can be looked at is refused, not queued for ever.
func TestTooManyCommands(t *testing.T) {
	onBench(t, func(b *bench) {
		b.plant.will(func(string) (time.Duration, error) { return time.Minute, nil })
		for i := range 300 {
			b.give(pump(fmt.Sprintf("c-%d", i), time.Hour))
		}
		b.want("c-299", rejected)
		b.want("c-200", accepted)
		b.card.set(nil, false, time.Hour) // it hangs
		for i := range 300 {
			b.give(pump(fmt.Sprintf("d-%d", i), time.Hour))
		}
		b.want("d-299", rejected)
		b.card.set(nil, false, 0)
		time.Sleep(24 * time.Hour)
	})
}
