package cloud

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
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
func servers(t *testing.T, n int) (list []*presences, kv *watchedKV) {
	kv = &watchedKV{}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for range n {
		s := inMemory(Options{Log: cloudtest.NewHistory(), KV: kv, Credentials: keyring.Credentials{Dir: t.TempDir()},
			Logger: slog.New(slog.DiscardHandler)})
		running.Go(func() { s.presences.run(ctx) })
		list = append(list, s.presences)
	}
	synctest.Wait()
	return list, kv
}

func aSession(gen uint64) *session {
	x := &session{gatewayID: "g", gen: gen, since: time.Now(), hello: &wire.Hello{Software: "test", Backlog: wire.Backlog{N: 10, Bytes: 1000}}}
	x.seen.Store(time.Now().UnixMilli())
	return x
}

// Two servers agree on who is connected; a session that a server did not end
// in order is over when the server has been silent for 90 s.
func TestServersAgreeOnPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, kv := servers(t, 2)
		a, b := list[0], list[1]
		var news atomic.Int32
		b.changed = func(string) { news.Add(1) }
		connected := func(p *presences) (bool, uint64) {
			time.Sleep(2 * presenceTick)
			synctest.Wait()
			got, _ := p.of("g")
			return got.Connected, got.Gen
		}
		old := aSession(5)
		a.opened(old)
		if is, gen := connected(b); !is || gen != 5 || news.Load() != 1 {
			t.Errorf("connected to a: b says %v, gen %d, told %d times", is, gen, news.Load())
		}
		newer := aSession(7)
		b.opened(newer)
		if is, gen := connected(a); !is || gen != 5 {
			t.Errorf("a still holds its session, and says %v, gen %d", is, gen)
		}
		a.closed(old, nil) // a learns last
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
		p.opened(x)
		h := cloudtest.NewHistory()
		e := gateway.EpochID{1}
		u := h.Data(e, 1, 4)
		both := record.State{Epochs: []record.EpochState{{ID: e, End: record.EndNone}, {ID: gateway.EpochID{2}, End: record.EndNone}}}
		p.stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneLive, N: 4, Epoch: e, State: both.String()}, u)
		p.stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneBacklog, N: 4}, u)
		if got, _ := p.of("g"); got.Clock.Quality != gateway.ClockNTP {
			t.Errorf("clock %+v", got.Clock)
		}
		if got, _ := p.of("g"); got.Backlog.N != 6 || got.Backlog.Bytes != 600 ||
			!time.UnixMicro(int64(got.Backlog.OldestTS)).Equal(cloudtest.At(4)) {
			t.Errorf("%+v", got.Backlog)
		}
		p.stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneBacklog, N: 9}, u)
		if got, _ := p.of("g"); got.Backlog != (wire.Backlog{}) {
			t.Errorf("%+v", got.Backlog)
		}
		// What was on its way when it said so is no backlog once it has come.
		p.heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 9, "oldest_unacknowledged_s": 1}})
		done := record.State{Epochs: []record.EpochState{{ID: e, End: record.EndNone}, {ID: gateway.EpochID{2}, End: record.EndClosed}}}
		p.stored(x, record.Record{Kind: record.KindUpdate, Lane: wire.LaneLive, N: 4, Epoch: e, State: done.String()}, u)
		if got, _ := p.of("g"); got.Backlog != (wire.Backlog{}) {
			t.Errorf("%+v", got.Backlog)
		}
	})
}

// Every alarm is told once when it begins and once when it is over.
func TestAlarmsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, _ := servers(t, 1)
		var log strings.Builder
		lag := []record.ConsumerState{{Name: "ledger"}, {Name: "postgres"}}
		a := &alarms{
			presences: list[0], logger: slog.New(slog.NewTextHandler(&log, nil)), raised: map[string]alarm{},
			backlogAge: time.Hour, consumerAge: 5 * time.Minute, ends: func() map[string]time.Time { return nil },
			consumers: func(context.Context) ([]record.ConsumerState, error) { return lag, nil },
		}
		x := aSession(1)
		list[0].opened(x)
		told := func(want ...string) {
			t.Helper()
			for range 10 {
				a.look(t.Context())
			}
			got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
			log.Reset()
			if len(want) == 0 && len(got) == 1 && got[0] == "" {
				return
			}
			if len(got) != len(want) {
				t.Fatalf("told %q, want %q", got, want)
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("told %s, want %s", got[i], want[i])
				}
			}
		}
		told()
		list[0].heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 3, "oldest_unacknowledged_s": 3500}})
		told()
		time.Sleep(2 * time.Minute)
		told(`level=WARN msg="The cloud lacks readings of g from`)
		if a.count("backlog_age") != 1 || len(a.ofCloud()) != 0 {
			t.Errorf("%d alarms", a.count("backlog_age"))
		}
		list[0].heard(x, &wire.Status{Figures: map[string]float64{"unacknowledged": 0}})
		told(`msg="the alarm is over" alarm=backlog_age of=g after=20s`)
		list[0].closed(x, nil)
		told()
		time.Sleep(time.Hour + time.Second)
		told("alarm=backlog_age of=g") // what it measures while it is away, the cloud lacks
		list[0].opened(aSession(2))
		told("is over")
		lag[1].Behind, lag[1].Oldest = 12, time.Now()
		told()
		time.Sleep(6 * time.Minute)
		told(`alarm=consumer_lag of=postgres`)
		if l := a.ofCloud(); len(l) != 1 || l[0].Subject != "postgres" || a.behind()[1].Behind != 12 {
			t.Errorf("%+v", l)
		}
		lag[1] = record.ConsumerState{Name: "postgres"}
		told("is over")
	})
}

// A gateway that begins too many epochs in a day is an alarm until they are a
// day old.
func TestTooManyEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, _ := servers(t, 1)
		var log strings.Builder
		a := &alarms{
			presences: list[0], logger: slog.New(slog.NewTextHandler(&log, nil)), raised: map[string]alarm{}, restless: map[string][]time.Time{},
			backlogAge: time.Hour, consumerAge: time.Hour, epochs: 3,
			ends: func() map[string]time.Time { return nil }, consumers: cloudtest.Feed{}.Consumers,
		}
		var born []time.Time
		for range 4 {
			time.Sleep(time.Hour)
			born = append(born, time.Now())
			a.births("g", born)
			a.births("calm", born[len(born)-1:])
		}
		began := time.Now()
		for range 3 {
			a.look(t.Context())
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "g has begun 4 epochs within 24 hours") ||
			a.count("epochs_per_day") != 1 {
			t.Errorf("%d alarms: %s", a.count("epochs_per_day"), text)
		}
		if x := a.raised["epochs_per_day g"]; !x.Since.Equal(began.UTC().Truncate(time.Millisecond)) || len(a.ofCloud()) != 0 {
			t.Errorf("%+v of the gateway, %+v of none", x, a.ofCloud())
		}
		time.Sleep(21*time.Hour + time.Second) // the first is a day old
		log.Reset()
		a.look(t.Context())
		if !strings.Contains(log.String(), "the alarm is over") || a.count("epochs_per_day") != 0 || len(a.restless) != 0 {
			t.Errorf("a day later: %s", log.String())
		}
		a.epochs = -1
		a.births("g", append(born, time.Now(), time.Now(), time.Now(), time.Now()))
		if a.look(t.Context()); a.count("epochs_per_day") != 0 {
			t.Error("any number is too many")
		}
	})
}
