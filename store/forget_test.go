package store_test

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

func (b *bench) volumes() int {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(b.o.Dir, "log", "*.db"))
	if err != nil {
		b.Fatal(err)
	}
	return len(files)
}

// Promise 3: readings are given up only after their ack and a later one, at
// least retain after it, that did not go back; acks of an earlier opening
// count for nothing.
func TestReadingsAreDroppedOnlyAfterLaterAck(t *testing.T) {
	inStore(t, func(o *store.Options) { o.History = 0 }, func(b *bench) {
		n := b.append(100)
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		b.s.Session(true, 10*time.Minute)
		done := func() {
			if err := b.s.Ack(n.Epoch, n.Seq, true); err != nil {
				b.Fatal(err)
			}
			b.sleep(time.Second)
		}
		done()
		b.sleep(9 * time.Minute)
		done()
		if b.volumes() != 1 {
			b.Fatal("given up before retain had passed")
		}
		if err := b.s.Ack(n.Epoch, n.Seq-50, false); err != nil { // the cloud lost some
			b.Fatal(err)
		}
		b.sleep(2 * time.Minute)
		done()
		if b.volumes() != 1 {
			b.Fatal("given up although the ack had gone back meanwhile")
		}
		for range 2 { // one to confirm what the cloud had after going back, one for the rest
			b.sleep(11 * time.Minute)
			done()
		}
		if b.volumes() != 0 {
			b.Fatal("not given up after a later ack")
		}
		if es := b.s.Epochs(); len(es) != 1 {
			b.Errorf("epochs that are over are still known: %+v", es)
		}
	})
}

// Local history stays for its age although the cloud has it.
func TestHistoryStaysForItsAge(t *testing.T) {
	inStore(t, func(o *store.Options) { o.History = 48 * time.Hour }, func(b *bench) {
		n := b.append(100)
		b.close()
		b.open()
		b.s.Session(true, time.Minute)
		for hour := range 50 {
			if err := b.s.Ack(n.Epoch, n.Seq, true); err != nil {
				b.Fatal(err)
			}
			b.sleep(time.Hour)
			if got := b.volumes(); hour < 46 && got != 1 {
				b.Fatalf("after %d h there are %d volumes", hour, got)
			}
		}
		if got := b.volumes(); got != 0 {
			b.Errorf("after 50 h there are still %d volumes", got)
		}
	})
}

// max_size holds: the oldest readings go, and a durable gap says why.
func TestFullStoreDropsTheOldestAndSaysSo(t *testing.T) {
	const limit = 8 << 20
	scale := &scale{t: t}
	change := func(o *store.Options) { o.MaxSize, o.Rate, o.Card, scale.dir = limit, 1e6, scale, o.Dir }
	inStore(t, change, func(b *bench) {
		id := b.s.Epochs()[0].ID
		total := uint64(0)
		for i := range 400 {
			total = b.appendNoise(1000 + i*67%8000) // into the journal, into volumes, in blocks of all sizes
			b.sleep(6 * time.Second)
		}
		if scale.most > limit || scale.most < limit*3/4 {
			b.Errorf("the store took up to %d bytes, the limit is %d", scale.most, limit)
		}
		for range 2 {
			blk, err := b.s.Next(b.Context(), id, 1, 0)
			if err != nil || blk.Gap == nil || blk.Gap.Why != gateway.WhyDropped || blk.Last() >= total {
				b.Fatalf("at the start stands %+v, %v; want a gap", blk, err)
			}
			if next, err := b.s.Next(b.Context(), id, blk.Last()+1, 0); err != nil || next.Data == nil {
				b.Fatalf("behind the gap stands %+v, %v", next, err)
			}
			b.close() // and after a restart the same
			b.open()
		}
	})
}

// scale is a card that weighs the store's folder after every step.
type scale struct {
	t    *testing.T
	dir  string
	most int64
}

func (s *scale) Do(_ store.Step, act func() error) error {
	err := act()
	total := int64(0)
	_ = filepath.WalkDir(s.dir, func(path string, f fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && !f.IsDir() && unix.Lstat(path, &st) == nil {
			total += st.Blocks * 512
		}
		return nil
	})
	s.most = max(s.most, total)
	return err
}

// appendNoise appends readings that do not compress.
func (b *bench) appendNoise(n int) uint64 {
	b.Helper()
	rs := make([]gateway.Reading, n)
	for i := range rs {
		b.noise = b.noise*6364136223846793005 + 1442695040888963407
		rs[i] = gateway.Reading{Channel: channel, Value: float64(b.noise) / 3, At: b.clock.Stamp()}
	}
	last, err := b.s.Append(rs)
	if err != nil {
		b.Fatal(err)
	}
	return last.Seq
}

// Where there is no limit, nothing that the cloud has not got goes with what
// it has.
func TestNothingDroppedWithoutLimit(t *testing.T) {
	inStore(t, func(o *store.Options) { o.History, o.MaxSize, o.MinFree = 0, 0, 0 }, func(b *bench) {
		acked := b.append(5000)
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		b.append(5000)
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		b.s.Session(true, time.Minute)
		for range 3 {
			if err := b.s.Ack(acked.Epoch, acked.Seq, true); err != nil {
				b.Fatal(err)
			}
			b.sleep(2 * time.Minute)
		}
		if st := b.s.Stats(); st.Dropped != 0 || st.Stored != 5000 {
			b.Errorf("%d readings were dropped, %d are stored; want none and 5000", st.Dropped, st.Stored)
		}
	})
}
