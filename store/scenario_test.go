package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

func wantGaps(t *testing.T, got, want map[gateway.Why]uint64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
}

// A trick is a card that a test holds in its hand.
type trick struct {
	mu sync.Mutex
	do func(store.Step, func() error) error
}

func (c *trick) Do(s store.Step, act func() error) error {
	c.mu.Lock()
	do := c.do
	c.mu.Unlock()
	if do == nil {
		return act()
	}
	return do(s, act)
}

func (c *trick) set(do func(store.Step, func() error) error) {
	c.mu.Lock()
	c.do = do
	c.mu.Unlock()
}

func refuse(err error) func(store.Step, func() error) error {
	return func(store.Step, func() error) error { return err }
}

// A card that is read-only from the boot on, a power cut, and a boot: what the
// cloud got is there, what it did not get was lost and people had been told
// that it would be, and no name is used again.
func TestCardReadOnlyFromBootThenCutThenBoot(t *testing.T) {
	card := &trick{}
	var table *health.Table
	inStore(t, func(o *store.Options) { tellAll(&table)(o); o.Card = card }, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 100)
		b.close()
		card.set(refuse(unix.EROFS))
		b.open()
		b.noted(l, 100)
		volatile := b.s.Epochs()[1].ID
		r.welcome(b.s)
		r.drain(b.s, -1)
		b.sleep(6 * time.Second)
		b.noted(storetest.NewLedger(), 40) // nobody will ever hear of these
		b.sleep(6 * time.Second)
		if list := table.List(); len(list) != 1 || list[0].Code != store.ConditionCard {
			b.Errorf("conditions %+v, want the card's", list)
		}
		image := b.copyOf()
		card.set(nil)
		b.goOnFrom(image)
		b.noted(l, 100)
		r.welcome(b.s)
		r.drain(b.s, -1)
		for _, e := range b.s.Epochs() {
			if e.ID == volatile {
				b.Error("the epoch that never reached the card is there")
			}
		}
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}

// A full card lets nothing be recorded: the oldest volume is unlinked first,
// and power fails before its record. The audit of the next opening covers it.
func TestCutBetweenUnlinkAndRecord(t *testing.T) {
	card := &trick{}
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.MaxSize, o.Rate, o.Burst, o.Card = 4<<20, 1e6, 5000, card
	}
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		for range 45 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		image, before := "", store.Point("")
		card.set(func(s store.Step, act func() error) error {
			last := before
			before = s.Point
			if s.Point == store.PointState && image == "" && last != store.PointState { // tried again it is taken
				return unix.ENOSPC
			}
			err := act()
			if s.Point == store.PointUnlink && last == store.PointState && image == "" {
				b.crashes++
				image = filepath.Join(b.TempDir(), fmt.Sprint("cut", b.crashes))
				err = errors.Join(err, os.CopyFS(image, os.DirFS(b.o.Dir)))
			}
			return err
		})
		appended := uint64(0)
		for image == "" {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
			if appended += 5000; appended > 1e6 {
				b.Fatal("nothing was ever given up")
			}
		}
		b.goOnFrom(image)
		r.welcome(b.s)
		r.drain(b.s, -1)
		gaps := r.settle(l)
		if gaps[gateway.WhyUnknown] == 0 || gaps[gateway.WhyUncleanStop] > 5000 {
			b.Errorf("gaps %v, want what was unlinked as unknown, and at most the last 5000 cut off", gaps)
		}
		told := false
		for _, c := range table.List() {
			told = told || c.Code == store.ConditionDamage
		}
		if !told {
			b.Errorf("conditions %+v: nobody is told", table.List())
		}
	})
}

// An ack that is only in RAM allows an unlink, and power is cut right behind
// it: the record went to the card before, so nothing is missed.
func TestAckInRAMThenUnlinkThenCut(t *testing.T) {
	card := &trick{}
	var table *health.Table
	inStore(t, func(o *store.Options) { tellAll(&table)(o); o.Card = card }, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 5000)
		b.sleep(6 * time.Second)
		b.close()
		b.open()
		image := ""
		card.set(func(s store.Step, act func() error) error {
			err := act()
			if s.Point == store.PointUnlink && image == "" {
				image = filepath.Join(b.TempDir(), "unlinked")
				err = errors.Join(err, os.CopyFS(image, os.DirFS(b.o.Dir)))
			}
			return err
		})
		r.welcome(b.s)
		r.drain(b.s, -1)
		for range 3 {
			r.welcome(b.s)
			b.sleep(2 * time.Minute)
		}
		if image == "" {
			b.Fatal("nothing was unlinked")
		}
		b.goOnFrom(image)
		if list := table.List(); len(list) > 0 {
			b.Errorf("people are told %+v", list)
		}
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}

// The cloud holds a part of a big block: the rest is sent, from its middle.
func TestUptoInsideABigBlock(t *testing.T) {
	inStore(t, func(o *store.Options) { o.Rate, o.Burst = 1e6, 20_000 }, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 16_384)
		b.sleep(6 * time.Second)
		id := b.s.Epochs()[0].ID
		r.welcome(b.s)
		r.drain(b.s, 1)
		if upto := r.of(id).upto; upto != 16_384 {
			b.Fatalf("the first block holds %d readings", upto)
		}
		r.lose(id, 7001)
		r.welcome(b.s)
		if got := b.next(id, 7002, 0); got.First != 7002 || got.Last() != 16_384 {
			b.Errorf("behind 7001 stands %v", got.Range)
		}
		b.goOnFrom(b.copyOf())
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}

// Gateway and cloud lose power together: the card lacks the last seconds, the
// cloud a tail that it had acknowledged. What one of them has is there; what
// neither has is in the open end.
func TestGatewayCutAndCloudTailLossTogether(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 150)
		b.sleep(6 * time.Second)
		id := b.s.Epochs()[0].ID
		b.s.Session(false, time.Minute) // the cloud's level is "received": it may lose what it acknowledged
		b.noted(l, 50)
		r.drain(b.s, -1)
		if upto := r.of(id).upto; upto != 200 {
			b.Fatalf("the cloud holds %d", upto)
		}
		image := b.copyOf()
		r.lose(id, 120)
		b.goOnFrom(image)
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{gateway.WhyUncleanStop: 50})
	})
}

// A board boots without a clock, and learns the time after an hour, when half
// of its readings are sent. Those say that they do not know the time; the
// anchor of their boot that comes later gives all of them the right one.
func TestNTPAfterAnHourWithHalfSent(t *testing.T) {
	inStore(t, func(o *store.Options) { o.History = 30 * 24 * time.Hour }, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.close()
		b.clock.Set(time.Unix(0, 0), gateway.ClockNone, 0)
		b.open()
		id := b.s.Epochs()[len(b.s.Epochs())-1].ID
		began := time.Now()
		for minute := range 60 {
			b.noted(l, 60)
			b.sleep(time.Minute)
			if minute == 29 {
				r.welcome(b.s)
				r.drain(b.s, -1)
			}
		}
		half := r.of(id).upto
		b.clock.Set(time.Now(), gateway.ClockNTP, time.Millisecond)
		b.noted(l, 60)
		r.drain(b.s, -1)
		e := r.of(id)
		last := e.anchor[e.upto]
		if half != 1800 || e.upto != 61*60 || last.Quality != gateway.ClockNTP {
			b.Fatalf("half %d, all %d, the last anchor %+v", half, e.upto, last)
		}
		for seq := uint64(1); seq <= e.upto; seq++ {
			a := e.anchor[seq]
			if seq <= half && a.Quality != gateway.ClockNone || a.Boot != last.Boot {
				b.Fatalf("reading %d was sent with %+v", seq, a)
			}
			want := began.Add(time.Duration((seq-1)/60) * time.Minute)
			if got := last.Wall(e.at[seq]); got.Sub(want).Abs() > time.Second {
				b.Fatalf("reading %d was taken at %v, the anchor says %v", seq, want, got)
			}
		}
		h, err := b.s.History(b.Context(), gateway.HistoryQuery{Channels: []gateway.Channel{*channel}, From: began,
			To: began.Add(61 * time.Minute), Buckets: 61})
		if err != nil || len(h.Series[0].Buckets) != 61 {
			b.Fatalf("on site %d of 61 minutes have readings (%v)", len(h.Series[0].Buckets), err)
		}
		for _, bucket := range h.Series[0].Buckets {
			if bucket.N != 60 {
				b.Fatalf("the minute from %v has %d readings, want 60", bucket.From, bucket.N)
			}
		}
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}

// A commit that failed was applied: its blocks are on the card twice, and
// every reading is given once.
func TestCommitFailsAfterItWasApplied(t *testing.T) {
	card := &trick{}
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.Rate, o.Burst, o.Card = 1e6, 5000, card
	}
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		failed := map[store.Point]bool{}
		card.set(func(s store.Step, act func() error) error {
			err := act()
			if s.Point == store.PointCommit && !failed[s.Point] || s.Point == store.PointState && len(failed) == 1 {
				failed[s.Point] = true
				return unix.EIO
			}
			return err
		})
		for range 6 {
			b.noted(l, 5000)
			b.sleep(time.Minute)
		}
		if len(failed) != 2 {
			b.Fatalf("failed: %v", failed)
		}
		b.wantHead(0)
		if list := table.List(); len(list) > 0 {
			b.Errorf("after it recovered people are told %+v", list)
		}
		r.welcome(b.s)
		r.drain(b.s, 2)
		b.goOnFrom(b.copyOf())
		if list := table.List(); len(list) > 0 {
			b.Errorf("after a restart people are told %+v", list)
		}
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
}
