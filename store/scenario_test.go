package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// A receiver is a cloud that keeps to the protocol's rules of contiguity,
// ends and going back (uplink/wire, rules 6 to 8). It outlives stores.
type receiver struct {
	t    *testing.T
	held map[gateway.EpochID]*shelfOf
}

// shelfOf is what a receiver has of one epoch.
type shelfOf struct {
	upto   uint64
	end    *gateway.End
	values map[uint64]float64
	gaps   map[uint64]gateway.Why
	anchor map[uint64]gateway.Anchor // as the block said
	at     map[uint64]gateway.Stamp
}

func newReceiver(t *testing.T) *receiver {
	return &receiver{t: t, held: map[gateway.EpochID]*shelfOf{}}
}

func (r *receiver) of(id gateway.EpochID) *shelfOf {
	if r.held[id] == nil {
		r.held[id] = &shelfOf{values: map[uint64]float64{}, gaps: map[uint64]gateway.Why{}, anchor: map[uint64]gateway.Anchor{}, at: map[uint64]gateway.Stamp{}}
	}
	return r.held[id]
}

func (r *receiver) ack(s *store.Store, id gateway.EpochID) {
	r.t.Helper()
	e := r.of(id)
	if err := s.Ack(id, e.upto, e.end != nil); err != nil {
		r.t.Fatal(err)
	}
}

// welcome opens a session: what the receiver holds counts, also if it is less
// or more than the gateway believed.
func (r *receiver) welcome(s *store.Store) {
	r.t.Helper()
	s.Session(true, time.Minute)
	for _, e := range s.Epochs() {
		r.ack(s, e.ID)
	}
}

// drain takes up to n pieces of a store, oldest epoch first; all with -1.
func (r *receiver) drain(s *store.Store, n int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, e := range s.Epochs() {
		for {
			e := r.state(s, e.ID)
			if n == 0 || e.Done && e.Acked >= e.Last {
				break
			}
			b, err := s.Next(ctx, e.ID, r.of(e.ID).upto+1, 0)
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				r.t.Fatal(err)
			}
			n--
			r.take(b)
			r.ack(s, e.ID)
		}
	}
}

func (r *receiver) state(s *store.Store, id gateway.EpochID) gateway.EpochState {
	r.t.Helper()
	for _, e := range s.Epochs() {
		if e.ID == id {
			return e
		}
	}
	return gateway.EpochState{ID: id, Done: true}
}

func (r *receiver) take(b gateway.Block) {
	r.t.Helper()
	e := r.of(b.Epoch)
	switch {
	case b.End != nil:
		e.end = b.End
		return
	case b.First > e.upto+1 || b.Last() <= e.upto:
		r.t.Fatalf("the store gives %v, the cloud holds up to %d", b.Range, e.upto)
	case b.Gap != nil:
		for seq := e.upto + 1; seq <= b.Last(); seq++ {
			e.gaps[seq] = b.Gap.Why
		}
	default:
		h, rs, err := block.NewDecoder().Decode(b.Data)
		if err != nil {
			r.t.Fatal(err)
		}
		for i, reading := range rs {
			if seq := h.First + uint64(i); seq > e.upto {
				e.values[seq], e.anchor[seq], e.at[seq] = reading.Value, h.Anchor, reading.At
			}
		}
	}
	e.upto = b.Last()
	if e.end != nil && !e.end.Closed {
		e.end = nil // data behind an open gap: the epoch lives
	}
}

// lose takes back what lies above upto, as a cloud that lost its tail does.
func (r *receiver) lose(id gateway.EpochID, upto uint64) {
	e := r.of(id)
	for seq := upto + 1; seq <= e.upto; seq++ {
		delete(e.values, seq)
		delete(e.gaps, seq)
	}
	e.upto, e.end = upto, nil
}

// settle is the full audit at the end: every reading of the ledger is with the
// receiver under its name, with its value, or in a gap that says why; what is
// behind the last is within the bound of an open end. It gives the gaps.
func (r *receiver) settle(l *storetest.Ledger) map[gateway.Why]uint64 {
	r.t.Helper()
	gaps := map[gateway.Why]uint64{}
	for id, a := range l.Epochs {
		e := r.of(id)
		for i, want := range a.Values[:min(e.upto, uint64(len(a.Values)))] {
			seq := uint64(i) + 1
			got, held := e.values[seq]
			why, gap := e.gaps[seq]
			if held == gap || held && got != want {
				r.t.Fatalf("%v/%d: held %v as %v, was %v; in a gap %v (%s)", id, seq, held, got, want, gap, why)
			}
			if gap {
				gaps[why]++
			}
		}
		if missing := uint64(len(a.Values)) - min(e.upto, uint64(len(a.Values))); missing > 0 {
			if e.end == nil || e.end.Closed || e.end.AtMost < missing {
				r.t.Fatalf("%v: %d readings behind %d are nowhere; the end is %+v", id, missing, e.upto, e.end)
			}
			gaps[e.end.Why] += missing
		}
	}
	return gaps
}

// copyOf copies the store's folder as it is on the card now.
func (b *bench) copyOf() string {
	b.Helper()
	synctest.Wait()
	b.crashes++
	dir := filepath.Join(b.TempDir(), fmt.Sprint("copy", b.crashes))
	if err := os.CopyFS(dir, os.DirFS(b.o.Dir)); err != nil {
		b.Fatal(err)
	}
	return dir
}

// goOnFrom leaves the store as a power cut does and goes on with a folder.
func (b *bench) goOnFrom(dir string) {
	b.Helper()
	b.stop()
	_ = b.s.Close() // into a folder that nobody looks at any more
	b.o.Dir = dir
	b.open()
}

func wantGaps(t *testing.T, got, want map[gateway.Why]uint64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
}

// An image is restored, and the board is offline until it has more readings
// than the cloud ever had of it.
func TestImageRestoredAndKeptOfflinePastTheOldUpto(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 100)
		b.sleep(6 * time.Second)
		old := b.s.Epochs()[0].ID
		image := b.copyOf()
		r.welcome(b.s)
		b.noted(l, 100)
		r.drain(b.s, -1)
		b.goOnFrom(image)
		for range 3 {
			b.noted(l, 300)
			b.sleep(6 * time.Second)
			b.close()
			b.open()
		}
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
		if e := r.of(old); e.upto != 200 || e.end == nil || e.end.Closed {
			b.Errorf("the old epoch: up to %d, end %+v; want 200 and an open end", e.upto, e.end)
		}
	})
}

// Two boards with one card's contents take turns. Their names never meet; what
// the original sends behind the end that the copy told is taken.
func TestClonesThatRunAlternately(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 100)
		b.sleep(6 * time.Second)
		shared := b.s.Epochs()[0].ID
		twin := &bench{T: b.T, clock: b.clock, o: b.o}
		twin.o.Dir = b.copyOf()
		twin.open()
		for range 4 {
			for _, board := range []*bench{twin, b} {
				board.noted(l, 70)
				board.sleep(6 * time.Second)
				r.welcome(board.s)
				r.drain(board.s, -1)
			}
			twin.close()
			twin.open()
		}
		if e := r.of(shared); e.upto != 100+4*70 {
			b.Errorf("the epoch of both: up to %d", e.upto)
		}
		r.drain(twin.s, -1)
		twin.close()
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{})
	})
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

// The card fails until the head drops its oldest readings, is back, and then
// power is cut: the gap is durable with what stands behind it.
func TestRingDroppedCardBackCut(t *testing.T) {
	card := &trick{}
	change := func(o *store.Options) { o.Rate, o.Burst, o.Card = 1e6, 10_000, card }
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 5000)
		b.sleep(6 * time.Second)
		card.set(refuse(unix.EIO))
		for range 20 {
			b.noted(l, 10_000)
			b.sleep(6 * time.Second)
		}
		card.set(nil)
		b.sleep(time.Minute)
		b.wantHead(0)
		b.goOnFrom(b.copyOf())
		r.welcome(b.s)
		r.drain(b.s, -1)
		wantGaps(t, r.settle(l), map[gateway.Why]uint64{gateway.WhyCardFailed: 200_000 - 131_072})
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
		h, err := b.s.History(b.Context(), gateway.HistoryQuery{Channels: []gateway.Channel{*channel}, From: began, To: began.Add(61 * time.Minute), Buckets: 61})
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

// state.db is replaced by a copy of last week: epochs that it does not know
// are found by their readings, and nothing is lost or named twice.
func TestStateReplacedByLastWeeksCopy(t *testing.T) {
	var table *health.Table
	change := func(o *store.Options) { tellAll(&table)(o); o.History = 30 * 24 * time.Hour }
	inStore(t, change, func(b *bench) {
		l, r := storetest.NewLedger(), newReceiver(b.T)
		b.noted(l, 500)
		b.sleep(6 * time.Second)
		old, err := os.ReadFile(filepath.Join(b.o.Dir, "state.db"))
		if err != nil {
			b.Fatal(err)
		}
		for range 7 {
			r.welcome(b.s)
			r.drain(b.s, 1)
			b.noted(l, 500)
			b.sleep(24 * time.Hour)
			b.close()
			b.open()
			b.noted(l, 100)
			b.sleep(6 * time.Second)
		}
		image := b.copyOf()
		if err := os.WriteFile(filepath.Join(image, "state.db"), old, 0o600); err != nil {
			b.Fatal(err)
		}
		b.goOnFrom(image)
		if list := table.List(); len(list) == 0 || list[0].Code != store.ConditionDamage {
			b.Errorf("nobody is told: %+v", list)
		}
		b.noted(l, 100)
		r.welcome(b.s)
		r.drain(b.s, -1)
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
