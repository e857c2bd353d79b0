package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// overwrite puts junk over a part of a file.
func overwrite(t *testing.T, path string, from, to int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What can still be read of a damaged volume is saved, whether it was found
// damaged at the opening or later; only the rest is a gap.
func TestDamagedVolumeIsSalvaged(t *testing.T) {
	const blocks, n = 8, 5000
	for _, c := range []struct {
		name     string
		from, to int64 // of the file
		whole    uint64
	}{
		{"both heads of the file", 0, 2 * 4096, blocks * n},
		{"a page in the middle", 100_000, 100_100, (blocks - 1) * n},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table *health.Table
			inStore(t, func(o *store.Options) { tellAll(&table)(o); o.Rate = 1e6 }, func(b *bench) {
				id := b.s.Epochs()[0].ID
				for range blocks {
					b.appendNoise(n)
					b.sleep(6 * time.Second)
				}
				b.close()
				overwrite(t, b.volume("000001"), c.from, c.to)
				b.open()
				readings, lost := b.gaps(id, blocks*n)
				if readings < c.whole || lost != blocks*n-readings {
					t.Errorf("%d readings were saved, %d are in gaps, of %d", readings, lost, blocks*n)
				}
				if lost > 0 && len(table.List()) == 0 {
					t.Error("people are not told")
				}
				told := 0
				for _, cond := range table.List() {
					if strings.Contains(cond.Sentence, "were saved") {
						told++
					}
				}
				kept, _ := filepath.Glob(filepath.Join(b.o.Dir, "quarantine", "*"))
				if told != len(kept) {
					t.Errorf("%d files are in quarantine, people are told %+v", len(kept), table.List())
				}
				b.close() // and the next opening finds nothing new
				*table = *health.New(quiet)
				b.open()
				if again, _ := b.gaps(id, blocks*n); again != readings || len(table.List()) != 0 {
					t.Errorf("%d readings at the next start, %d before; people are told %+v", again, readings, table.List())
				}
			})
		})
	}
}

// Quarantine does not grow without bound.
func TestQuarantineIsBounded(t *testing.T) {
	inStore(t, func(o *store.Options) { o.Rate = 1e6 }, func(b *bench) {
		for range 20 {
			b.appendNoise(5000)
			b.close()
			newest, _ := filepath.Glob(filepath.Join(b.o.Dir, "log", "*.db"))
			overwrite(t, newest[len(newest)-1], 0, 8192)
			b.sleep(time.Second)
			b.open()
		}
		kept, _ := filepath.Glob(filepath.Join(b.o.Dir, "quarantine", "*"))
		if len(kept) != 8 {
			t.Errorf("%d files are in quarantine, want the newest 8", len(kept))
		}
		for _, e := range b.s.Epochs() {
			if e.Growth == gateway.Growing {
				continue
			}
			if readings, _ := b.gaps(e.ID, 5000); readings != 5000 {
				t.Errorf("%d of 5000 readings of %v were saved", readings, e.ID)
			}
		}
	})
}
