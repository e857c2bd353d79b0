package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// setVersion writes another version into a state.db.
func setVersion(t *testing.T, dir, from, to string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, key := tx.Bucket([]byte("meta")), []byte("facts")
		text := bytes.Clone(b.Get(key))[4:]
		changed := bytes.Replace(text, []byte(`"version":`+from), []byte(`"version":`+to), 1)
		if bytes.Equal(text, changed) {
			return errors.New("the version is not where it was expected")
		}
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Update(crc32.Checksum(key, table), table, changed)
		return b.Put(key, append(binary.BigEndian.AppendUint32(nil, sum), changed...))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// filesIn gives name and content of all regular files of a folder, side/ left
// out.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.db", "log/*", "journal"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
		}
	}
	return all
}

// A store of a later version is left as it is; readings are kept beside it,
// also over a crash, and are taken over when the later version is back.
func TestStoreOfALaterVersion(t *testing.T) {
	var table *health.Table
	change := func(o *store.Options) { tellAll(&table)(o); o.History = time.Hour }
	inStore(t, change, func(b *bench) {
		install := b.s.InstallID()
		old := b.append(5000).Epoch
		b.close()
		dir := b.o.Dir
		setVersion(t, dir, "1", "9")
		before := filesIn(t, dir)
		b.open()
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionVersion {
			t.Errorf("people are told %+v", list)
		}
		if b.s.InstallID() != install {
			t.Error("the cloud would take this for another installation")
		}
		first := b.append(100).Epoch
		b.sleep(6 * time.Second)
		b.crash()
		b.open()
		second := b.append(100).Epoch
		b.close()
		after := filesIn(t, b.o.Dir)
		for name, text := range before {
			if after[filepath.Join(b.o.Dir, name[len(dir)+1:])] != text {
				t.Errorf("%s was changed", name)
			}
		}
		setVersion(t, b.o.Dir, "9", "1")
		b.open()
		for _, id := range []any{first, second, old} {
			found := false
			for _, e := range b.s.Epochs() {
				found = found || e.ID == id
			}
			if !found {
				t.Errorf("epoch %v is not in the store", id)
			}
		}
		if readings, _ := b.gaps(first, 100); readings != 100 {
			t.Errorf("%d of 100 readings were taken over", readings)
		}
		if _, err := os.Stat(filepath.Join(b.o.Dir, "side")); err == nil {
			t.Error("side/ is still there")
		}
	})
}

// A board whose card is full, so that not even the folder can be made, starts
// and samples; once there is room it writes.
func TestNothingCanBeMadeAtTheStart(t *testing.T) {
	card := smallCard(t)
	rest := filepath.Join(card, "rest")
	var table *health.Table
	inStore(t, tellAll(&table), func(b *bench) {
		b.close()
		fill(b, rest)
		if err := unix.Mount("", card, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		b.o.Dir = filepath.Join(card, "store")
		b.open()
		b.append(10)
		b.sleep(time.Minute)
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionUnreadable || !strings.Contains(list[0].Sentence, "read-only") {
			t.Errorf("people are told %+v", list)
		}
		if err := errors.Join(unix.Mount("", card, "", unix.MS_REMOUNT, ""), os.Remove(rest)); err != nil {
			t.Fatal(err)
		}
		b.sleep(time.Minute)
		b.wantHead(0)
		if list := table.List(); len(list) != 0 {
			t.Errorf("people are told %+v although the card works", list)
		}
	})
}

// What another process finds damaged is not opened here.
func TestStateThatAnotherProcessCannotRead(t *testing.T) {
	refuse := errors.New("killed by a fault")
	inStore(t, nil, func(b *bench) {
		id := b.append(5000).Epoch
		b.close()
		if err := store.CheckState(filepath.Join(b.o.Dir, "state.db")); err != nil {
			t.Errorf("check of a sound file: %v", err)
		}
		b.o.VerifyState = func(string) error { return refuse }
		b.open()
		moved, _ := filepath.Glob(filepath.Join(b.o.Dir, "quarantine", "state.db.*"))
		if len(moved) != 1 {
			t.Errorf("in quarantine: %v", moved)
		}
		if readings, _ := b.gaps(id, 5000); readings != 5000 {
			t.Errorf("%d of 5000 readings are left", readings)
		}
	})
}
