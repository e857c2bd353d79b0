package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// crash goes on with the directory as it is on the card at this moment.
func (b *bench) crash() {
	b.Helper()
	b.crashes++
	dir := filepath.Join(b.TempDir(), fmt.Sprint("crashed", b.crashes))
	if err := os.CopyFS(dir, os.DirFS(b.o.Dir)); err != nil {
		b.Fatal(err)
	}
	b.close()
	b.o.Dir = dir
}

func (b *bench) volume(number string) string { return filepath.Join(b.o.Dir, "log", number+".db") }

// end goes along an epoch to its end, and counts what gaps stand for.
func (b *bench) end(id gateway.EpochID) (end gateway.End, inGaps uint64) {
	b.Helper()
	for seq := uint64(1); ; {
		got := b.next(id, seq, 0)
		if got.End != nil {
			return *got.End, inGaps
		}
		if got.Gap != nil {
			inGaps += got.N
		}
		seq = got.Last() + 1
	}
}

// acknowledge has the cloud take everything, and prove it later.
func (b *bench) acknowledge() {
	b.Helper()
	b.s.Session(true, time.Minute)
	for range 3 {
		for _, e := range b.s.Epochs() {
			if err := b.s.Ack(e.ID, e.Last, e.Growth != gateway.Growing); err != nil {
				b.Fatal(err)
			}
		}
		b.sleep(2 * time.Minute)
	}
}

// tellAll makes the conditions visible to a test.
func tellAll(table **health.Table) func(*store.Options) {
	return func(o *store.Options) {
		*table = health.New(quiet)
		o.Conditions, o.History = *table, 0
	}
}

// The bound of an open gap holds for readings that the cloud had received but
// not yet on its disk: if both lose power they are gone.
func TestReceivedIsStillAtRisk(t *testing.T) {
	change := func(o *store.Options) { o.Rate, o.Burst = 1, 1 } // far less than what comes
	inStore(t, change, func(b *bench) {
		b.s.Session(false, time.Minute)
		b.ack(b.append(1000))
		b.sleep(6 * time.Second)
		b.ack(b.append(1000))
		id := b.s.Epochs()[0].ID
		b.crash()
		b.open()
		if end, _ := b.end(id); end.AtMost < 1000 {
			b.Errorf("1000 readings were lost, the gap tells of at most %d", end.AtMost)
		}
	})
}

// Once all volumes were given up, new ones still get new numbers, so that a
// loss among them is noticed.
func TestVolumeNumbersAreNotUsedTwice(t *testing.T) {
	var table *health.Table
	inStore(t, tellAll(&table), func(b *bench) {
		b.append(5000)
		b.sleep(6 * time.Second)
		old, err := os.ReadFile(b.volume("000001"))
		if err != nil {
			b.Fatal(err)
		}
		b.close()
		b.open()
		b.acknowledge()
		if n := b.volumes(); n != 0 {
			b.Fatalf("%d volumes are left", n)
		}
		b.close()
		b.open()
		id := b.append(5000).Epoch
		b.sleep(6 * time.Second)
		b.crash()
		// power died before the unlink of the first, and the second is lost
		if err := errors.Join(os.Remove(b.volume("000002")), os.WriteFile(b.volume("000001"), old, 0o600)); err != nil {
			b.Fatal(err)
		}
		b.open()
		if n := b.volumes(); n != 0 {
			b.Errorf("%d volumes, the one that was given up is back", n)
		}
		if es := b.s.Epochs(); len(es) != 3 {
			b.Errorf("the epochs are %+v, want an empty one, that of the crash and the growing one", es)
		}
		if end, _ := b.end(id); end.Why != gateway.WhyUnknown || end.AtMost < 5000 || len(table.List()) == 0 {
			b.Errorf("5000 readings are lost, the epoch ends with %+v, people are told %+v", end, table.List())
		}
	})
}

// Openings that never got a reading leave nothing behind once the cloud has
// heard of their ends.
func TestEmptyEpochsGoAway(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		for range 20 {
			b.crash()
			b.open()
		}
		if n := len(b.s.Epochs()); n != 21 {
			b.Fatalf("%d epochs after 20 crashes", n)
		}
		b.acknowledge()
		b.crash()
		b.open()
		if n := len(b.s.Epochs()); n != 2 {
			b.Errorf("%d epochs are left, want the last one and this", n)
		}
	})
}

// A card that takes no writes at the start is tried again also while there is
// nothing to write: the epoch's entry must not wait for the next flush.
func TestCardThatFailsAtTheStart(t *testing.T) {
	var table *health.Table
	inStore(t, tellAll(&table), func(b *bench) {
		b.close()
		b.o.Dir = filepath.Join(b.TempDir(), "new")
		blocked := filepath.Join(b.o.Dir, "state.db.tmp", "in the way")
		if err := os.MkdirAll(blocked, 0o700); err != nil {
			b.Fatal(err)
		}
		b.open()
		b.sleep(time.Minute)
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionCard {
			b.Errorf("conditions: %+v", list)
		}
		b.append(10)
		b.stop()
		if err := b.s.Close(); err == nil {
			b.Error("closed in good order although nothing could be written")
		}
		if err := b.s.Close(); err != nil {
			b.Errorf("closed twice: %v", err)
		}
		b.open()
		if err := os.Remove(blocked); err != nil {
			b.Fatal(err)
		}
		b.sleep(time.Minute)
		if list := table.List(); len(list) != 0 {
			b.Errorf("conditions after recovery: %+v", list)
		}
		id := b.s.Epochs()[0].ID
		b.crash()
		b.open()
		if b.s.Epochs()[0].ID != id {
			b.Error("the epoch's entry was not saved")
		}
	})
}

// A first commit that fails leaves no number out, which the next start would
// take for a lost volume.
func TestFailedFirstCommitIsNoLostVolume(t *testing.T) {
	card, rest, spare := smallCard(t), "rest", "spare"
	var table *health.Table
	change := func(o *store.Options) { tellAll(&table)(o); o.Dir = card }
	inStore(t, change, func(b *bench) {
		if err := os.WriteFile(filepath.Join(card, spare), make([]byte, 40<<10), 0o600); err != nil {
			b.Fatal(err)
		}
		fill(b, filepath.Join(card, rest))
		if err := os.Remove(filepath.Join(card, spare)); err != nil { // enough for a volume, not for a block
			b.Fatal(err)
		}
		b.appendNoise(5000)
		b.sleep(time.Minute)
		b.wantHead(0) // the journal took them
		if err := os.Remove(filepath.Join(card, rest)); err != nil {
			b.Fatal(err)
		}
		b.sleep(time.Minute)
		b.wantHead(0)
		id := b.s.Epochs()[0].ID
		b.crash()
		b.open()
		if end, gaps := b.end(id); end.Why != gateway.WhyUncleanStop || gaps != 0 || len(table.List()) != 0 {
			b.Errorf("ends with %+v, %d readings in gaps, conditions %+v", end, gaps, table.List())
		}
	})
}

// Damage in the volume that is being written costs what it held. Writing goes
// on in another one.
func TestDamageWhileWriting(t *testing.T) {
	var table *health.Table
	inStore(t, tellAll(&table), func(b *bench) {
		id := b.append(5000).Epoch
		b.sleep(6 * time.Second)
		f, err := os.OpenFile(b.volume("000001"), os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		junk := make([]byte, 4*4096)
		for i := range junk {
			junk[i] = 0xff
		}
		_, err = f.WriteAt(junk, 2*4096)
		if err := errors.Join(err, f.Close()); err != nil {
			b.Fatal(err)
		}
		if got := b.next(id, 1, 0); got.Gap == nil || got.Gap.Why != gateway.WhyUnknown || got.N != 5000 {
			b.Fatalf("in place of what is damaged stands %+v", got)
		}
		b.append(100)
		b.sleep(5 * time.Second) // at the first attempt
		b.wantHead(0)
		if got := b.next(id, 5001, 0); got.N != 100 || got.Data == nil {
			b.Errorf("behind it stands %+v", got.Range)
		}
		for _, c := range table.List() {
			if c.Code != store.ConditionDamage {
				b.Errorf("told: %+v", c)
			}
		}
	})
}

// A file system that is full makes room by giving up the oldest.
func TestFullCard(t *testing.T) {
	card := smallCard(t)
	change := func(o *store.Options) { o.Dir, o.MaxSize, o.MinFree, o.Rate = card, 4<<20, 512<<10, 1e6 }
	inStore(t, change, func(b *bench) {
		id := b.s.Epochs()[0].ID
		for range 100 {
			b.appendNoise(4000)
			b.sleep(6 * time.Second)
		}
		fill(b, filepath.Join(card, "rest"))
		for range 10 {
			b.appendNoise(5000) // due at once
			b.sleep(time.Minute)
			b.wantHead(0)
		}
		if first := b.next(id, 1, 0); first.Gap == nil || first.Gap.Why != gateway.WhyDropped {
			b.Errorf("at the start stands %+v", first)
		}
	})
}

// max_size counts what the files take, not the holes that bbolt leaves in
// them: a full store holds nearly as much as it may.
func TestMaxSizeIsMadeUseOf(t *testing.T) {
	const limit = 8 << 20
	rounds := 400
	if raced {
		rounds = 20 // it is data volume alone: make test runs all of it without the race detector
	}
	inStore(t, func(o *store.Options) { o.MaxSize, o.Rate = limit, 1e6 }, func(b *bench) {
		var most store.Stats // just before it gives up a volume
		for range rounds {
			b.appendNoise(4000)
			b.sleep(6 * time.Second)
			if stats := b.s.Stats(); stats.Stored > most.Stored {
				most = stats
			}
		}
		if values := int64(most.Stored) * 8; values < limit*2/5 && !raced || most.Bytes > limit {
			b.Errorf("%d bytes of values are stored, %d on the card, of %d", values, most.Bytes, limit)
		}
	})
}

// smallCard gives a file system of 6 MiB.
func smallCard(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("SKIPPED: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	return dir
}

// fill writes until the card is full.
func fill(b *bench, path string) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		b.Fatal(err)
	}
}
