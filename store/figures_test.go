package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store"
)

// A board whose clock is never set counts its openings and brownouts by the
// time that it runs; when the clock becomes known they stay.
func TestOpeningsWithoutAClock(t *testing.T) {
	boot := gateway.BootID{0}
	next := func(b *bench) {
		boot[0]++
		b.clock = clock.NewFake(boot)
		b.clock.Set(time.Unix(60, 0), gateway.ClockNone, 0)
		b.o.Clock = b.clock
	}
	inStore(t, func(o *store.Options) { o.FlushInterval, o.HistoryFlush = time.Second, time.Minute }, func(b *bench) {
		want := func(openings, unclean int) {
			b.Helper()
			if st := b.s.Stats(); st.Openings != openings || st.UncleanStops != unclean {
				b.Errorf("%d openings and %d brownouts in 24 h, want %d and %d", st.Openings, st.UncleanStops, openings, unclean)
			}
		}
		b.cut(filepath.Join(b.TempDir(), "state"), next)
		want(1, 0)
		for i := range 5 {
			b.append(10)
			b.sleep(time.Hour)
			b.append(10)
			b.sleep(2 * time.Second)
			b.cut(b.copyOf(), next)
			want(2+i, 1+i)
		}
		b.append(10)
		b.sleep(20 * time.Hour) // 25 h of running since the first, 24 h since the second
		want(4, 4)
		b.clock.Set(time.Now(), gateway.ClockNTP, time.Millisecond)
		b.sleep(time.Second)
		want(4, 4)
		b.sleep(5 * time.Hour)
		want(0, 0)
	})
}

// Volumes that a power cut left beside the one they were merged into count
// once.
func TestMergedVolumesCountOnce(t *testing.T) {
	card := &trick{}
	var mu sync.Mutex
	image, dir := "", t.TempDir()
	inStore(t, func(o *store.Options) { o.Card = card }, func(b *bench) {
		merged := false
		for range 12 {
			b.append(100)
			b.sleep(6 * time.Second)
			b.close()
			b.open()
			card.set(func(s store.Step, act func() error) error {
				mu.Lock()
				defer mu.Unlock()
				if merged && image == "" {
					image = filepath.Join(dir, "image")
					if err := os.CopyFS(image, os.DirFS(b.o.Dir)); err != nil {
						return err
					}
				}
				_, there := os.Stat(s.To) // a volume that was merged takes the place of one
				err := act()
				merged = merged || s.Point == store.PointRename && there == nil
				return err
			})
		}
		b.sleep(time.Minute)
	})
	if image == "" {
		t.Fatal("nothing was merged")
	}
	o := testOptions(image, clock.NewFake(gateway.BootID{1}))
	s, err := store.Inspect(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Leave()
	held := uint64(0)
	for _, e := range s.Epochs() {
		err = errors.Join(err, s.Walk(t.Context(), e.ID, func(b store.Stretch) error {
			held += uint64(len(b.Readings))
			return nil
		}))
	}
	if st := s.Stats(); err != nil || st.Stored+st.Journal != held {
		t.Errorf("%d readings in volumes and %d in the journal are counted, %d are there: %v", st.Stored, st.Journal, held, err)
	}
}
