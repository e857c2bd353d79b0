package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store"
)

// cut goes on with a folder, as a power cut leaves it, after change.
func (b *bench) cut(dir string, change func(*bench)) {
	b.Helper()
	b.stop()
	_ = b.s.Close() // into a folder that nobody looks at any more
	b.o.Dir = dir
	if change != nil {
		change(b)
	}
	b.open()
}

// rebooted is a board that started anew a minute later, and how far its clock
// is to be believed.
func rebooted(quality gateway.ClockQuality) func(*bench) {
	return func(b *bench) {
		time.Sleep(time.Minute)
		b.clock = clock.NewFake(gateway.BootID{2})
		b.clock.Set(time.Now(), quality, time.Millisecond)
		b.o.Clock = b.clock
	}
}

// A card that took nothing for long before the power cut: nobody knew of it,
// the cloud neither. The bound is never too small, and where no clock can
// tell how long it was there is none.
func TestBoundOfACardThatTookNothing(t *testing.T) {
	for name, c := range map[string]struct {
		again func(*bench)
		known bool
	}{
		"same boot":                {nil, true},
		"same boot, slower by now": {func(b *bench) { b.o.Rate, b.o.Burst = 0.1, 1 }, true},
		"another boot":             {rebooted(gateway.ClockNTP), true},
		"a clock nobody set":       {rebooted(gateway.ClockNone), false},
		"a clock of its own":       {rebooted(gateway.ClockRTC), false},
	} {
		t.Run(name, func(t *testing.T) {
			card := &trick{}
			change := func(o *store.Options) { o.Card, o.Rate, o.Burst = card, 10, 10 }
			inStore(t, change, func(b *bench) {
				id := b.append(10).Epoch
				b.sleep(6 * time.Second)
				card.set(refuse(unix.EIO))
				lost := uint64(0)
				for range 120 { // at the rate that is allowed
					b.append(10)
					lost += 10
					b.sleep(time.Second)
				}
				dir := b.copyOf()
				card.set(nil)
				b.cut(dir, c.again)
				end, _ := b.end(id)
				if end.Closed || end.AtMost < lost || (end.AtMost != gateway.AtMostUnknown) != c.known {
					t.Errorf("%d readings are lost, the end says %+v", lost, end)
				}
			})
		})
	}
}

// What the cloud holds is not missing: it is taken off the bound.
func TestBoundIsLessWhatTheCloudHolds(t *testing.T) {
	change := func(o *store.Options) { o.Rate, o.Burst = 100, 10 }
	inStore(t, change, func(b *bench) {
		id := b.append(10).Epoch
		b.sleep(6 * time.Second)
		b.s.Session(true, time.Minute)
		last := b.append(102).Seq // of which the cloud gets 100
		b.sleep(time.Second)
		b.crash()
		b.open()
		before, _ := b.end(id)
		if before.AtMost < 102 {
			t.Fatalf("102 readings may be missing, the end says %+v", before)
		}
		b.s.Session(true, time.Minute)
		if err := b.s.Ack(id, last-2, false); err != nil {
			t.Fatal(err)
		}
		after, gaps := b.end(id)
		if after.AtMost != before.AtMost-100 || gaps != 100 {
			t.Errorf("the cloud holds 100 of at most %d, the end says %+v, %d stand in gaps", before.AtMost, after, gaps)
		}
		if st := b.s.Stats(); st.GapReadings[gateway.WhyUncleanStop] != after.AtMost {
			t.Errorf("the figures say %v", st.GapReadings)
		}
	})
}

// A journal that was deleted or cut is a loss of what can have come since the
// last volume, and no more.
func TestBoundOfALostJournal(t *testing.T) {
	for name, lose := range map[string]func(string) error{
		"deleted": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 100) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, quality := range []gateway.ClockQuality{gateway.ClockNTP, gateway.ClockNone} {
				change := func(o *store.Options) { o.Rate, o.Burst = 10, 10 }
				inStore(t, change, func(b *bench) {
					id := b.append(100).Epoch
					b.sleep(10 * time.Minute)
					dir := b.copyOf()
					if err := lose(filepath.Join(dir, "journal")); err != nil {
						t.Fatal(err)
					}
					b.cut(dir, rebooted(quality))
					end, inGaps := b.end(id)
					most := uint64(10*661 + 20)
					if quality == gateway.ClockNone {
						most = gateway.AtMostUnknown
					}
					if end.Why != gateway.WhyUnknown || end.AtMost+inGaps < 100 || end.AtMost > most {
						t.Errorf("100 readings are lost, the end says %+v, %d stand in gaps", end, inGaps)
					}
				})
			}
		})
	}
}
