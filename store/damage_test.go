package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
)

// filled makes a store with readings of three openings, the second ended by a
// crash, and gives its directory.
func filled(t *testing.T) string {
	t.Helper()
	var dir string
	inStore(t, nil, func(b *bench) {
		for range 40 {
			b.append(50)
			b.sleep(6 * time.Second)
		}
		b.close()
		b.open()
		for range 40 {
			b.append(50)
			b.sleep(6 * time.Second)
		}
		dir = b.o.Dir
		crashed := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		dir = crashed
	})
	return dir
}

// drainAll reads every epoch to its end and counts the readings, and what gaps
// and ends say was lost to damage; it fails if a range is left out in silence.
func drainAll(t *testing.T, s *store.Store) (readings, lost int) {
	t.Helper()
	d := block.NewDecoder()
	for _, e := range s.Epochs() {
		for seq := uint64(1); e.Growth != gateway.Growing; {
			b, err := s.Next(t.Context(), e.ID, seq, 0)
			if err != nil {
				t.Fatalf("next of %v at %d: %v", e.ID, seq, err)
			}
			if b.End != nil {
				if b.End.Why == gateway.WhyUnknown {
					lost += int(b.End.AtMost)
				}
				break
			}
			if b.First != seq || b.N == 0 {
				t.Fatalf("next of %v at %d gave %v", e.ID, seq, b.Range)
			}
			if b.Gap != nil {
				lost += int(b.N)
			} else {
				if _, rs, err := d.Decode(b.Data); err != nil || len(rs) != int(b.N) {
					t.Fatalf("damage was handed on as data: %v", err)
				}
				readings += int(b.N)
			}
			seq = b.Last() + 1
		}
	}
	return readings, lost
}

func reopen(t *testing.T, dir string) (*store.Store, *health.Table, error) {
	t.Helper()
	table := health.New(quiet)
	o := testOptions(dir, clock.NewFake(gateway.BootID{2}))
	o.Conditions = table
	s, err := store.Open(o)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, table, err
}

// A file cut off anywhere, or gone, is no reason not to start.
func TestFilesCutOffOrGone(t *testing.T) {
	good := filled(t)
	for _, name := range []string{"state.db", "log/000001.db", "journal"} {
		for _, keep := range []int64{-1, 0, 1, 4096, 10_000, 20_000} {
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			err := os.Remove(path)
			if keep >= 0 {
				err = os.WriteFile(path, nil, 0o600)
				if err == nil && keep > 0 {
					data, _ := os.ReadFile(filepath.Join(good, name))
					err = os.WriteFile(path, data[:min(keep, int64(len(data)))], 0o600)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			s, table, err := reopen(t, dir)
			if err != nil {
				t.Errorf("%s cut to %d bytes: %v", name, keep, err)
				continue
			}
			if readings, lost := drainAll(t, s); readings+lost < 4000 || readings < 4000 && len(table.List()) == 0 {
				t.Errorf("%s cut to %d bytes: %d readings, %d in gaps; people are told %+v", name, keep, readings, lost, table.List())
			}
			_ = s.Close()
		}
	}
}

// A digit of state.db that changed is not believed: what the cloud has
// acknowledged is learned anew, and nothing is given up for it.
func TestChangedDigitInState(t *testing.T) {
	dir := filled(t)
	path := filepath.Join(dir, "state.db")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(text, []byte(`"forgotten":0`), []byte(`"forgotten":9`))
	if bytes.Equal(changed, text) {
		t.Fatal("state.db holds no such digit")
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	s, table, err := reopen(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if readings, _ := drainAll(t, s); readings != 4000 {
		t.Errorf("%d readings are left, want 4000", readings)
	}
	if len(table.List()) == 0 {
		t.Error("nobody is told")
	}
}

// What a process did not finish making is cleared away.
func TestHalfMadeFilesAreDeleted(t *testing.T) {
	dir := filled(t)
	for _, name := range []string{"state.db.tmp", "log/000009.db.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := reopen(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if readings, _ := drainAll(t, s); readings != 4000 {
		t.Errorf("%d readings, want 4000", readings)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*.tmp")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Two processes never write one store.
func TestLockedStore(t *testing.T) {
	dir := filled(t)
	if _, _, err := reopen(t, dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := reopen(t, dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second opening gave %v, want ErrLocked", err)
	}
}
