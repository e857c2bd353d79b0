package store_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// begun is a store that ended in a power cut: a closed and a cut epoch, a
// volume, and a journal in use.
func begun(f *testing.F) (storetest.Dir, *storetest.Ledger) {
	f.Helper()
	dir, l := f.TempDir(), storetest.NewLedger()
	var at storetest.Dir
	for opening := range 2 {
		o := testOptions(dir, clock.NewFake(gateway.BootID{1}))
		s, err := store.Open(o)
		if err != nil {
			f.Fatal(err)
		}
		for n := range 3 {
			for range 300 {
				v := float64(opening*1000 + n)
				last, err := s.Append([]gateway.Reading{{Channel: channel, Value: v, At: o.Clock.Stamp()}})
				if err != nil {
					f.Fatal(err)
				}
				l.Change(last.Epoch, func(a *storetest.Account) { a.Values = append(a.Values, v) })
			}
			if err := s.Flush(); err != nil {
				f.Fatal(err)
			}
		}
		if at, err = storetest.ReadDir(dir, nil); err != nil {
			f.Fatal(err)
		}
		if err := s.Close(); err != nil {
			f.Fatal(err)
		}
	}
	return at, l
}

// patched changes bytes of a file: three bytes say where, one what.
func patched(file, patch []byte) []byte {
	file = append([]byte(nil), file...)
	for ; len(patch) >= 4; patch = patch[4:] {
		at := binary.BigEndian.Uint32(patch) >> 8
		file[int(at)%len(file)] = patch[3]
	}
	return file
}

// fuzzFile opens a store one of whose files is anything at all, or the true
// one with some bytes changed. It opens, nothing that was not measured is
// given as measured, nothing is left out in silence, and it goes on.
func fuzzFile(f *testing.F, name string) {
	whole, l := begun(f)
	if len(whole[name]) == 0 {
		f.Fatalf("there is no %s", name)
	}
	l.Damaged, l.Restored = true, true
	root, err := os.MkdirTemp("/dev/shm", "fieldgate-fuzz-")
	if err != nil {
		root = f.TempDir()
	}
	f.Cleanup(func() { _ = os.RemoveAll(root) })
	f.Add(false, []byte{0, 0, 16, 0xff})
	f.Add(false, []byte{0, 16, 10, 1, 0, 48, 4, 7})
	f.Add(true, []byte("fgsl"))
	f.Add(true, whole[name][:min(len(whole[name]), 8192)])
	f.Fuzz(func(t *testing.T, raw bool, data []byte) {
		dir := filepath.Join(root, "store")
		files := storetest.Dir{}
		for other, content := range whole {
			files[other] = content
		}
		if files[name] = data; !raw {
			files[name] = patched(whole[name], data)
		}
		if err := errors.Join(os.RemoveAll(dir), files.Write(dir)); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(testOptions(dir, clock.NewFake(gateway.BootID{2})))
		if err != nil {
			t.Fatal(err)
		}
		ledger := l.Copy()
		_, err = ledger.Audit(s)
		if err == nil {
			err = goOn(s, ledger)
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func FuzzJournal(f *testing.F) { fuzzFile(f, "journal") }

func FuzzVolume(f *testing.F) { fuzzFile(f, "log/000001.db") }

func FuzzState(f *testing.F) { fuzzFile(f, "state.db") }
