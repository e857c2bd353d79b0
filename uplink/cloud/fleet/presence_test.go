package fleet

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A watchedKV is a KV in memory that tells watchers.
type watchedKV struct {
	cloudtest.KV
	watch  sync.Mutex
	notify []func(record.Doc)
}

func (s *watchedKV) Put(ctx context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error) {
	now, err := s.KV.Put(ctx, key, body, rev, ttl)
	if err == nil {
		s.watch.Lock()
		defer s.watch.Unlock()
		for _, notify := range s.notify {
			notify(record.Doc{Key: key, Rev: now, At: time.Now(), Body: body})
		}
	}
	return now, err
}

func (s *watchedKV) Watch(ctx context.Context, prefix string, notify func(record.Doc)) error {
	s.watch.Lock()
	s.notify = append(s.notify, notify)
	for d := range s.List(ctx, prefix) {
		notify(d)
	}
	s.watch.Unlock()
	<-ctx.Done()
	return nil
}

// servers gives the presences of n servers on one KV, which run until the
// test ends.
func servers(t *testing.T, n int) (list []*Presences, kv *watchedKV) {
	kv = &watchedKV{}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for range n {
		p := NewPresences(PresenceOptions{KV: kv, Logger: slog.New(slog.DiscardHandler), Ended: func() {}, Changed: func(string) {},
			Level: func() wire.Level { return wire.LevelFsynced }})
		running.Go(func() { p.Run(ctx) })
		list = append(list, p)
	}
	synctest.Wait()
	return list, kv
}

// A fakeSession is a session of gateway g.
type fakeSession struct {
	gen  uint64
	from time.Time
}

func (x *fakeSession) GatewayID() string { return "g" }
func (x *fakeSession) Gen() uint64       { return x.gen }
func (x *fakeSession) Since() time.Time  { return x.from }
func (x *fakeSession) Seen() time.Time   { return x.from }

func (x *fakeSession) Hello() *wire.Hello {
	return &wire.Hello{Software: "test", Backlog: wire.Backlog{N: 10, Bytes: 1000}}
}

func aSession(gen uint64) *fakeSession { return &fakeSession{gen, time.Now()} }

// Two servers agree on who is connected; a session that a server did not end
// in order is over when the server has been silent for 90 s.
func TestServersAgreeOnPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, kv := servers(t, 2)
		a, b := list[0], list[1]
		var news atomic.Int32
		b.opt.Changed = func(string) { news.Add(1) }
		connected := func(p *Presences) (bool, uint64) {
			time.Sleep(2 * presenceTick)
			synctest.Wait()
			got, _ := p.Of("g")
			return got.Connected, got.Gen
		}
		old := aSession(5)
		a.Opened(old)
		if is, gen := connected(b); !is || gen != 5 || news.Load() != 1 {
			t.Errorf("connected to a: b says %v, gen %d, told %d times", is, gen, news.Load())
		}
		newer := aSession(7)
		b.Opened(newer)
		if is, gen := connected(a); !is || gen != 5 {
			t.Errorf("a still holds its session, and says %v, gen %d", is, gen)
		}
		a.Closed(old) // a learns last
		if is, gen := connected(b); !is || gen != 7 {
			t.Errorf("b says %v, gen %d", is, gen)
		}
		if is, gen := connected(a); !is || gen != 7 {
			t.Errorf("moved to b: a says %v, gen %d", is, gen)
		}
		before := kv.Written()
		time.Sleep(time.Hour)
		if n := kv.Written() - before; n < 100 || n > 130 {
			t.Errorf("renewed %d times in an hour", n)
		}
		if is, _ := connected(a); !is {
			t.Error("a long session is over for a")
		}
		b.mu.Lock()
		delete(b.held, "g") // as if b were killed: it renews nothing
		b.mu.Unlock()
		time.Sleep(presenceTTL - presenceRenew - 3*presenceTick)
		if is, _ := connected(a); !is {
			t.Error("over too early")
		}
		time.Sleep(presenceRenew)
		if is, _ := connected(a); is {
			t.Error("a server that is gone still holds its session")
		}
	})
}

// What arrives of the backlog is taken off what the gateway said that waits.
func TestBacklogGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, _ := servers(t, 1)
		p := list[0]
		x := aSession(1)
		p.Opened(x)
		h := cloudtest.NewHistory()
		e := gateway.EpochID{1}
		u := h.Data(e, 1, 4)
		both := record.State{Epochs: []record.EpochState{{ID: e, End: record.EndNone}, {ID: gateway.EpochID{2}, End: record.EndNone}}}
		p.Stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneLive, N: 4, Epoch: e, State: both.String()}, u)
		p.Stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneBacklog, N: 4}, u)
		if got, _ := p.Of("g"); got.Clock.Quality != gateway.ClockNTP {
			t.Errorf("clock %+v", got.Clock)
		}
		if got, _ := p.Of("g"); got.Backlog.N != 6 || got.Backlog.Bytes != 600 ||
			!time.UnixMicro(int64(got.Backlog.OldestTS)).Equal(cloudtest.At(4)) {
			t.Errorf("%+v", got.Backlog)
		}
		p.Stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneBacklog, N: 9}, u)
		if got, _ := p.Of("g"); got.Backlog != (wire.Backlog{}) {
			t.Errorf("%+v", got.Backlog)
		}
		// What was on its way when it said so is no backlog once it has come.
		p.Heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 9, "oldest_unacknowledged_s": 1}})
		done := record.State{Epochs: []record.EpochState{{ID: e, End: record.EndNone}, {ID: gateway.EpochID{2}, End: record.EndClosed}}}
		p.Stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneLive, N: 4, Epoch: e, State: done.String()}, u)
		if got, _ := p.Of("g"); got.Backlog != (wire.Backlog{}) {
			t.Errorf("%+v", got.Backlog)
		}
	})
}
