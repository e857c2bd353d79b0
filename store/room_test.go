package store_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
)

// told gives what people are told under a code; "" if nothing.
func tellOf(table *health.Table, code string) string {
	for _, c := range table.List() {
		if c.Code == code {
			return c.Sentence
		}
	}
	return ""
}

// wantWhole looks whether the store holds all n readings of an epoch that
// ended in order.
func (b *bench) wantWhole(id gateway.EpochID, n uint64) {
	b.Helper()
	end, inGaps := b.end(id)
	if !end.Closed || end.Last != n || inGaps != 0 {
		b.Errorf("the epoch of %d readings ends with %+v, %d stand in gaps", n, end, inGaps)
	}
}

// stops takes readings for a while, stops in order and starts again, several
// times.
func (b *bench) stops(times, n int) {
	b.Helper()
	var ids []gateway.EpochID
	for range times {
		for range 10 {
			b.append(n / 10)
			b.sleep(6 * time.Second)
		}
		b.append(7) // not due yet
		id := b.s.Epochs()
		ids = append(ids, id[len(id)-1].ID)
		b.close()
		b.open()
	}
	for _, id := range ids {
		b.wantWhole(id, uint64(n/10*10+7))
	}
}

// A card with less than min_free free, and one that is full to the last
// block, takes what comes between orderly stops into the journal, which is
// there already.
func TestOrderlyStopsWithoutRoom(t *testing.T) {
	for name, full := range map[string]bool{"less than min_free": false, "full": true} {
		t.Run(name, func(t *testing.T) {
			card := smallCard(t)
			var table *health.Table
			change := func(o *store.Options) {
				tellAll(&table)(o)
				o.Dir, o.MinFree, o.Rate = card, 256<<20, 1000
			}
			inStore(t, change, func(b *bench) {
				b.append(100)
				b.sleep(6 * time.Second)
				b.close()
				b.open()
				leave := int64(100 << 10)
				if full {
					leave = 0
				}
				fillBut(b, filepath.Join(card, "rest"), leave)
				b.stops(3, 3000)
				b.sleep(6 * time.Second)
				if tellOf(table, store.ConditionRoom) == "" || tellOf(table, store.ConditionCard) != "" {
					t.Errorf("people are told %+v", table.List())
				}
				if st := b.s.Stats(); st.Failing {
					t.Error("a card that takes what comes is called failing")
				}
				if err := os.Remove(filepath.Join(card, "rest")); err != nil {
					t.Fatal(err)
				}
				b.sleep(2 * time.Minute)
				if text := tellOf(table, store.ConditionRoom); text != "" {
					t.Errorf("with room people are still told %q", text)
				}
				if st := b.s.Stats(); st.Journal != 0 {
					t.Errorf("with room %d readings are still in the journal", st.Journal)
				}
			})
		})
	}
}

// Where state.db has no room for one more epoch, the journal alone tells that
// it began and how it ended, to any number of next starts.
func TestOrderlyStopsWithoutRoomInStateDB(t *testing.T) {
	card := &trick{}
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.Card, o.Rate = card, 1000
	}
	inStore(t, change, func(b *bench) {
		b.append(100)
		b.sleep(6 * time.Second)
		b.close()
		card.set(func(s store.Step, act func() error) error {
			if s.Point == store.PointState {
				return unix.ENOSPC
			}
			return act()
		})
		b.open()
		id := b.append(500).Epoch
		b.sleep(6 * time.Second)
		b.append(7) // not due yet
		if st := b.s.Stats(); st.Failing || st.Journal != 500 || !strings.Contains(tellOf(table, store.ConditionRoom), "state.db") {
			t.Errorf("%d readings are in the journal, failing %v, people are told %+v", st.Journal, st.Failing, table.List())
		}
		b.close()
		b.open()
		b.wantWhole(id, 507)
		card.set(nil)
		b.append(10)
		b.sleep(time.Hour)
		if text := tellOf(table, store.ConditionRoom); text != "" {
			t.Errorf("with room people are still told %q", text)
		}
		b.close()
		b.open()
		b.wantWhole(id, 507)
	})
}

// fillBut fills a card up to what is to be left.
func fillBut(b *bench, path string, leave int64) {
	b.Helper()
	fill(b, path)
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, max(0, info.Size()-leave))
	}
	if err != nil {
		b.Fatal(err)
	}
}

// A card that was full before the store was ever opened there takes nothing:
// the stop says how much is lost at most.
func TestOrderlyStopOnACardWithoutAnyRoom(t *testing.T) {
	card := smallCard(t)
	inStore(t, func(o *store.Options) { o.Dir = filepath.Join(card, "state") }, func(b *bench) {
		b.close()
		if err := os.RemoveAll(filepath.Join(card, "state")); err != nil {
			t.Fatal(err)
		}
		fill(b, filepath.Join(card, "rest"))
		b.open()
		b.append(300)
		b.sleep(time.Minute)
		err := b.s.Close()
		if err == nil || !strings.Contains(err.Error(), "at most 300 readings are lost") {
			t.Errorf("the stop says %v", err)
		}
	})
}

// What a stop could not write is told by the next start, with its number.
func TestTheRestThatNoSlotTakesIsCounted(t *testing.T) {
	card := &trick{}
	inStore(t, func(o *store.Options) { o.Card = card }, func(b *bench) {
		id := b.append(100).Epoch
		b.sleep(6 * time.Second)
		b.append(40)
		card.set(func(s store.Step, act func() error) error {
			if s.Point == store.PointState {
				return act()
			}
			return unix.EIO
		})
		if err := b.s.Close(); err == nil || !strings.Contains(err.Error(), "at most 40 readings are lost") {
			t.Errorf("the stop says %v", err)
		}
		card.set(nil)
		b.open()
		end, _ := b.end(id)
		if end.Closed || end.AtMost != 40 || end.Why != gateway.WhyCardFailed {
			t.Errorf("the next start tells of %+v", end)
		}
	})
}

// min_free is no more than a share of a small card, and what was taken is
// said. Then the log grows as it should.
func TestMinFreeOfASmallCard(t *testing.T) {
	card := smallCard(t)
	var said strings.Builder
	change := func(o *store.Options) {
		o.Dir, o.MinFree, o.Rate = card, 256<<20, 1e6
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
	}
	inStore(t, change, func(b *bench) {
		for range 10 {
			b.append(5000)
			b.sleep(6 * time.Second)
		}
		if st := b.s.Stats(); st.Stored != 50000 {
			t.Errorf("%d readings are in volumes", st.Stored)
		}
		if !strings.Contains(said.String(), "0.8 MiB") {
			t.Errorf("what was taken for min_free is not said: %s", said.String())
		}
	})
}

// Where others fill the card, and all that could be given up would not make
// min_free good, nothing is given up.
func TestNothingIsGivenUpInVain(t *testing.T) {
	card := smallCard(t)
	change := func(o *store.Options) { o.Dir, o.MinFree, o.Rate = card, 256<<20, 1e6 }
	inStore(t, change, func(b *bench) {
		id := b.s.Epochs()[0].ID
		for range 4 {
			b.append(5000)
			b.sleep(6 * time.Second)
		}
		b.close()
		b.open()
		fill(b, filepath.Join(card, "rest"))
		for range 20 {
			b.append(100)
			b.sleep(time.Minute)
		}
		b.wantWhole(id, 20000)
		if st := b.s.Stats(); st.Dropped != 0 || st.Thinned != 0 || st.Failing {
			t.Errorf("after an hour on a card that others filled: %+v", st)
		}
	})
}

// Where giving up readings makes the room, their detail goes first, and no
// more than is needed.
func TestDetailGoesFirst(t *testing.T) {
	card := smallCard(t)
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.Dir, o.MinFree, o.Rate, o.ThinInterval = card, 512<<10, 1e6, time.Minute
	}
	inStore(t, change, func(b *bench) {
		for range 200 { // more than the card holds
			b.appendNoise(4000)
			b.sleep(6 * time.Second)
		}
		st := b.s.Stats()
		if st.Dropped != 0 || st.Thinned == 0 || st.Failing {
			t.Errorf("%d readings were dropped, %d thinned, failing %v", st.Dropped, st.Thinned, st.Failing)
		}
	})
}

// When the journal has no slot left either, readings wait in memory, and
// nothing is lost as long as that has room; what the cloud has for certain
// makes way.
func TestJournalFillsUp(t *testing.T) {
	card := smallCard(t)
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.Dir, o.MinFree, o.Rate = card, 256<<20, 1e6
	}
	inStore(t, change, func(b *bench) {
		id := b.s.Epochs()[0].ID
		fill(b, filepath.Join(card, "rest"))
		n := uint64(0)
		for range 200 {
			n = b.appendNoise(1000)
			b.sleep(6 * time.Second)
		}
		st := b.s.Stats()
		if st.Head == 0 || st.Journal < 100_000 || !st.Failing || st.Journal+st.Head != n {
			t.Fatalf("of %d readings: %+v", n, st)
		}
		b.acknowledge()
		b.sleep(time.Minute)
		if st := b.s.Stats(); st.Failing || st.Head != 0 {
			t.Errorf("after the cloud took all, %d are in memory, failing %v", st.Head, st.Failing)
		}
		b.append(100)
		b.sleep(6 * time.Second)
		b.crash()
		b.open()
		for seq := uint64(1); seq <= n+100; {
			got := b.next(id, seq, 0)
			if got.Gap != nil && got.Gap.Why != gateway.WhyForgottenAfterAck {
				t.Fatalf("after a power cut stands %+v at %d", got.Gap, seq)
			}
			seq = got.Last() + 1
		}
	})
}

// Before a stop, what only memory has is flushed at once; if the card takes
// nothing, the cloud is waited for.
func TestSettleBeforeAStop(t *testing.T) {
	card := &trick{}
	inStore(t, func(o *store.Options) { o.Card = card }, func(b *bench) {
		settle := func() (uint64, time.Duration) {
			ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			return b.s.Settle(ctx), time.Since(began)
		}
		b.append(10)
		if left, took := settle(); left != 0 || took != 0 {
			t.Errorf("with a sound card %d readings are left after %v", left, took)
		}
		b.wantHead(0)
		card.set(refuse(unix.EIO))
		last := b.append(10)
		b.s.Session(true, time.Minute)
		if left, took := settle(); left != 10 || took != 5*time.Second {
			t.Errorf("with nobody to take them %d of 10 readings are left after %v", left, took)
		}
		go func() {
			time.Sleep(2 * time.Second)
			b.ack(last)
		}()
		if left, took := settle(); left != 0 || took != 2*time.Second {
			t.Errorf("when the cloud takes them %d readings are left after %v", left, took)
		}
		card.set(nil)
	})
}
