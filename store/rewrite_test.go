package store_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
)

// noted appends readings that do not compress and notes them in a ledger.
func (b *bench) noted(l *storetest.Ledger, n int) {
	b.Helper()
	rs := make([]gateway.Reading, n)
	values := make([]float64, n)
	for i := range rs {
		b.noise = b.noise*6364136223846793005 + 1442695040888963407
		values[i] = float64(b.noise) / math.MaxUint64 / 3
		rs[i] = gateway.Reading{Channel: channel, Value: values[i], At: b.clock.Stamp()}
	}
	last, err := b.s.Append(rs)
	if err != nil {
		b.Fatal(err)
	}
	l.Change(last.Epoch, func(a *storetest.Account) { a.Values = append(a.Values, values...) })
}

func (b *bench) audit(l *storetest.Ledger) storetest.Found {
	b.Helper()
	found, err := l.Audit(b.s)
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// Where the limit leaves no room, the oldest readings that the cloud lacks
// lose their detail and nothing else: every name is accounted for, least,
// greatest and mean are those of the readings, and the limit is never
// exceeded. Only when all are thinned the oldest are dropped.
func TestFullStoreThinsBeforeItDrops(t *testing.T) {
	const limit = 8 << 20
	scale := &scale{t: t}
	var table *health.Table
	change := func(o *store.Options) {
		tellAll(&table)(o)
		o.MaxSize, o.Rate, o.Burst, o.ThinInterval, o.Card, scale.dir = limit, 1e6, 5000, time.Minute, scale, o.Dir
	}
	inStore(t, change, func(b *bench) {
		l := storetest.NewLedger()
		l.Limited = true
		for range 300 { // 12 MB as they are
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		st := b.s.Stats()
		if scale.most > limit || st.Dropped > 0 || st.Thinned == 0 {
			b.Errorf("the store took up to %d of %d bytes, %d readings were dropped, %d thinned", scale.most, limit, st.Dropped, st.Thinned)
		}
		if len(table.List()) != 1 || table.List()[0].Code != store.ConditionThinned {
			b.Errorf("conditions %+v", table.List())
		}
		for range 2 {
			found := b.audit(l)
			if found.Thinned < 100_000 || found.Readings < 400_000 || len(found.Gaps) > 0 {
				b.Errorf("found %+v; want the oldest thinned, the newest as they were", found)
			}
			b.close() // and after a restart the same
			b.open()
		}
	})
}

// A store that is full of thinned readings drops the oldest of them.
func TestThinnedReadingsAreDroppedLast(t *testing.T) {
	const limit = 4 << 20
	scale := &scale{t: t}
	change := func(o *store.Options) {
		o.MaxSize, o.Rate, o.Burst, o.ThinInterval, o.Card, scale.dir = limit, 1e6, 5000, time.Microsecond*5000, scale, o.Dir
	}
	inStore(t, change, func(b *bench) {
		l := storetest.NewLedger()
		l.Limited = true
		for range 6000 {
			for range 20 { // five values in each interval
				b.noted(l, 5)
				b.sleep(5 * time.Millisecond)
			}
			if st := b.s.Stats(); st.Dropped > 0 {
				break
			}
			b.sleep(6 * time.Second)
		}
		found := b.audit(l)
		if found.Gaps[gateway.WhyDropped] == 0 || found.Thinned == 0 || found.Readings == 0 || scale.most > limit {
			b.Errorf("found %+v, at most %d bytes", found, scale.most)
		}
	})
}

// What is under way to the cloud is not thinned; a cloud that has a part of a
// thinned range gets the whole range, from before what it lacks.
func TestUptoInsideAThinnedRange(t *testing.T) {
	change := func(o *store.Options) { o.MaxSize, o.Rate, o.Burst, o.ThinInterval = 4<<20, 1e6, 5000, time.Minute }
	inStore(t, change, func(b *bench) {
		l := storetest.NewLedger()
		l.Limited = true
		b.noted(l, 5000)
		id := b.s.Epochs()[0].ID
		b.sleep(6 * time.Second)
		b.s.Session(true, time.Minute)
		under := b.next(id, 1, 0)
		for range 120 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		if st := b.s.Stats(); st.Thinned == 0 || st.Dropped > 0 {
			b.Fatalf("%+v; want some thinned and none dropped", st)
		}
		if again := b.next(id, 1, 0); again.Thinned || again.Range != under.Range {
			b.Errorf("what was under way, %v, is %v now, thinned %v", under.Range, again.Range, again.Thinned)
		}
		b.s.Session(true, time.Minute) // nothing is under way any more
		for range 60 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		whole := b.next(id, 1, 0)
		if !whole.Thinned {
			b.Fatalf("the oldest readings are not thinned: %v", whole.Range)
		}
		b.ack(gateway.Name{Epoch: id, Seq: whole.Last() / 2})
		part := b.next(id, whole.Last()/2+1, 0)
		if !part.Thinned || part.Range != whole.Range {
			b.Errorf("behind the ack stands %v, thinned %v; want all of %v", part.Range, part.Thinned, whole.Range)
		}
		if behind := b.next(id, whole.Last()+1, 0); behind.First != whole.Last()+1 {
			b.Errorf("behind the thinned range stands %v", behind.Range)
		}
		b.audit(l)
	})
}

// What the cloud has for certain goes before anything that it lacks, also
// where that is older: a slow link may leave a backlog while live is sent.
func TestAcknowledgedIsDroppedFirst(t *testing.T) {
	inStore(t, func(o *store.Options) { o.MaxSize, o.Rate, o.Burst = 4<<20, 1e6, 5000 }, func(b *bench) {
		l := storetest.NewLedger()
		for range 20 { // the backlog
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		backlog := b.s.Epochs()[0]
		if _, err := b.s.Split(); err != nil {
			b.Fatal(err)
		}
		b.s.Session(true, time.Second)
		for range 300 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
			live := b.s.Epochs()
			b.ack(gateway.Name{Epoch: live[len(live)-1].ID, Seq: live[len(live)-1].Last})
		}
		if st := b.s.Stats(); st.Dropped > 0 {
			b.Errorf("%d readings that the cloud lacks were dropped", st.Dropped)
		}
		for seq := uint64(1); seq <= backlog.Last; {
			got := b.next(backlog.ID, seq, 0)
			if got.Gap != nil {
				b.Fatalf("of the backlog %v is a gap: %+v", got.Range, got.Gap)
			}
			seq = got.Last() + 1
		}
	})
}

// Of a volume that the cloud has half of for certain only the other half is
// kept when room is needed, as it was.
func TestAcknowledgedBlocksLeaveAMixedVolume(t *testing.T) {
	inStore(t, func(o *store.Options) { o.MaxSize, o.Rate, o.Burst = 4<<20, 1e6, 20000 }, func(b *bench) {
		l := storetest.NewLedger()
		l.Limited = true
		for range 4 { // 16,384 of these make a block, four blocks a volume
			b.noted(l, 16384)
			b.sleep(6 * time.Second)
		}
		id := b.s.Epochs()[0].ID
		b.s.Session(true, time.Second)
		for range 2 {
			b.ack(gateway.Name{Epoch: id, Seq: 3 * 16384})
			b.sleep(2 * time.Second)
		}
		l.Change(id, func(a *storetest.Account) { a.Acked, a.MayForget = 3*16384, 3*16384 })
		for range 25 {
			b.noted(l, 16384)
			b.sleep(6 * time.Second)
			if b.next(id, 1, 0).Gap != nil {
				break
			}
		}
		if st := b.s.Stats(); st.Dropped > 0 {
			b.Errorf("%d readings were dropped", st.Dropped)
		}
		if found := b.audit(l); found.Gaps[gateway.WhyForgottenAfterAck] != 3*16384 {
			b.Errorf("found %+v; want the acknowledged ones forgotten", found)
		}
	})
}

// Volumes that restarts leave small become one, and nothing else changes.
func TestSmallVolumesAreMerged(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		l := storetest.NewLedger()
		for range 20 {
			b.noted(l, 100)
			b.close()
			b.open()
			b.sleep(6 * time.Second)
		}
		if n := b.volumes(); n > 8 {
			b.Errorf("20 restarts left %d volumes", n)
		}
		if found := b.audit(l); found.Readings != 2000 || len(found.Gaps) > 0 {
			b.Errorf("found %+v, want 2000 readings", found)
		}
		b.close()
		b.open()
		if found := b.audit(l); found.Readings != 2000 || len(found.Gaps) > 0 {
			b.Errorf("after a restart: found %+v, want 2000 readings", found)
		}
	})
}

// The dashboard gets the envelope of thinned readings, and is told so.
func TestHistoryOfThinnedReadings(t *testing.T) {
	change := func(o *store.Options) { o.MaxSize, o.Rate, o.Burst, o.ThinInterval = 4<<20, 1e6, 5000, time.Minute }
	inStore(t, change, func(b *bench) {
		l := storetest.NewLedger()
		l.Limited = true
		began := b.clock.Anchor().Wall(b.clock.Stamp())
		for range 160 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		id := b.s.Epochs()[0].ID
		if !b.next(id, 1, 0).Thinned {
			b.Fatal("the oldest readings are not thinned")
		}
		h, err := b.s.History(b.Context(), gateway.HistoryQuery{
			Channels: []gateway.Channel{*channel}, From: began.Add(-time.Minute), To: began.Add(time.Hour), Buckets: 1})
		if err != nil {
			b.Fatal(err)
		}
		values := l.Epochs[id].Values
		want := gateway.Bucket{N: uint64(len(values)), Min: math.Inf(1), Max: math.Inf(-1), Thinned: true}
		for _, v := range values {
			want.Min, want.Max, want.Mean = min(want.Min, v), max(want.Max, v), want.Mean+v/float64(len(values))
		}
		got := h.Series[0].Buckets[0]
		if got.N != want.N || got.Min != want.Min || got.Max != want.Max || !got.Thinned || math.Abs(got.Mean-want.Mean) > 1e-6 ||
			h.Series[0].Unit != channel.Unit {
			b.Errorf("got %+v, want %+v", got, want)
		}
		fresh, err := b.s.History(b.Context(), gateway.HistoryQuery{
			Channels: []gateway.Channel{*channel}, From: began.Add(14 * time.Minute), To: began.Add(time.Hour), Buckets: 1})
		if err != nil || fresh.Series[0].Buckets[0].Thinned {
			b.Errorf("the newest readings: %+v, %v", fresh.Series[0].Buckets, err)
		}
	})
}

// An export tells thinned readings from others.
func TestWalkGivesSummaries(t *testing.T) {
	change := func(o *store.Options) { o.MaxSize, o.Rate, o.Burst, o.ThinInterval = 4<<20, 1e6, 5000, time.Minute }
	inStore(t, change, func(b *bench) {
		l := storetest.NewLedger()
		for range 160 {
			b.noted(l, 5000)
			b.sleep(6 * time.Second)
		}
		summaries, readings := uint64(0), uint64(0)
		err := b.s.Walk(context.Background(), b.s.Epochs()[0].ID, func(st store.Stretch) error {
			for _, sum := range st.Summaries {
				summaries += sum.N
			}
			readings += uint64(len(st.Readings))
			return nil
		})
		if err != nil || summaries == 0 || summaries+readings != 160*5000 {
			b.Errorf("%d readings and summaries of %d, %v", readings, summaries, err)
		}
	})
}
