package uplink_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A gateway of 20 readings/s with an hour of backlog on a line of 64 kbit/s:
// live readings do not wait behind it, and the backlog comes through too.
func TestLiveBeforeBacklogOnASlowLine(t *testing.T) {
	var mu sync.Mutex
	taken := map[uint64]time.Time{} // when the cloud got a live reading
	backlog := uint64(0)
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.net.Rate = 64_000 / 8
		w.store.Noise, w.store.CanSplit = true, true
		for range 3600 * 20 / 4000 {
			w.store.Append(4000)
		}
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			mu.Lock()
			defer mu.Unlock()
			for seq := m.First; m.Lane == wire.LaneLive && seq < m.First+m.N; seq++ {
				taken[seq] = time.Now()
			}
			if m.Lane == wire.LaneBacklog {
				backlog += m.N
			}
			return false
		}
	}, func(w *testbed) {
		w.online()
		made := map[uint64]time.Time{}
		for i := range uint64(120 * 2) { // two minutes; ten readings at a time
			w.store.Append(10)
			for n := range uint64(10) {
				made[10*i+n+1] = time.Now()
			}
			w.pass(500 * time.Millisecond)
		}
		w.pass(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		var ages []time.Duration
		for seq, at := range made {
			if taken[seq].IsZero() {
				t.Fatalf("reading %d has not arrived", seq)
			}
			ages = append(ages, taken[seq].Sub(at))
		}
		slices.Sort(ages)
		t.Logf("live: median %v, p99 %v; backlog %d readings", ages[len(ages)/2], ages[len(ages)*99/100], backlog)
		if p99 := ages[len(ages)*99/100]; p99 > 3*time.Second {
			t.Errorf("live p99 %v, at most 3 s are allowed; median %v", p99, ages[len(ages)/2])
		}
		// 64 kbit/s for two minutes are 960 kB; live and its frames take some
		// 400 kB of them, and a reading of this noise some 1.4 bytes.
		if backlog < 36_000*2/3 {
			t.Errorf("%d readings of the backlog in two minutes", backlog)
		}
		if w.store.Splits() != 1 {
			t.Errorf("split %d times", w.store.Splits())
		}
	})
}

// The line becomes sixty times as long in the middle of a session: the backlog
// slows down, finds out that it is not what makes it long, and goes on.
func TestLineThatBecomesLonger(t *testing.T) {
	var taken atomic.Uint64
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.net.Far = true
		w.net.SetDelay(10 * time.Millisecond)
		w.store.Noise, w.store.CanSplit = true, true
		for range 1000 {
			w.store.Append(4000)
		}
		w.cloud.Welcome.Win = &wire.Windows{
			Ev: wire.Window{Msgs: 2, Bytes: 1 << 16}, Live: wire.Window{Msgs: 8, Bytes: 1 << 16}, Back: wire.Window{Msgs: 32, Bytes: 1 << 16},
		}
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if m.Lane == wire.LaneBacklog {
				taken.Add(m.N)
			}
			return false
		}
	}, func(w *testbed) {
		w.online()
		w.net.SetDelay(600 * time.Millisecond)
		w.pass(30 * time.Second)
		from := taken.Load()
		w.pass(2 * time.Minute)
		// One message of at least 4 KiB, which are some 2,900 readings, in 1.2 s would be 290,000.
		n := taken.Load() - from
		t.Logf("%d readings before, %d in two minutes", from, n)
		if n < 2_000_000 {
			t.Error("the backlog crawls")
		}
	})
}

// No more is under way than the cloud allows, in messages and in bytes.
func TestWindows(t *testing.T) {
	type sum struct{ msgs, bytes int }
	var mu sync.Mutex
	var open, most [3]sum
	arrived := 0
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Win = &wire.Windows{
			Ev: wire.Window{Msgs: 2, Bytes: 1 << 20}, Live: wire.Window{Msgs: 3, Bytes: 7000}, Back: wire.Window{Msgs: 5, Bytes: 20_000},
		}
		w.cloud.Welcome.Lim.Msg = wire.MinMessage
		w.store.Noise = true
		for range 30 {
			w.store.Append(4000)
		}
		w.store.Reopen(true)
		for range 10 {
			w.store.Append(1500)
			w.store.AddEvent(gateway.EventAlarm, `{}`)
		}
		later := func(l, bytes int, answer func()) {
			mu.Lock()
			open[l].msgs++
			open[l].bytes += bytes
			most[l] = sum{max(most[l].msgs, open[l].msgs), max(most[l].bytes, open[l].bytes)}
			arrived++
			delay := 100*time.Millisecond + time.Duration(arrived)*time.Microsecond // in order
			mu.Unlock()
			go func() {
				time.Sleep(delay) // virtual
				mu.Lock()
				defer mu.Unlock()
				open[l].msgs--
				open[l].bytes -= bytes
				answer()
			}()
		}
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			b, _ := wire.Encode(m)
			answer := w.cloud.Take(m)
			later(int(m.Lane), len(b), func() { p.Send(answer) })
			return true
		}
		w.cloud.OnEvent = func(p *uplinktest.Peer, m *wire.Event) bool {
			later(0, 1, func() {
				p.Send(&wire.Ack{Epochs: []wire.EpochAck{}, Events: &wire.EventAck{Epoch: m.Epoch, Upto: m.Seq}})
			})
			return true
		}
	}, func(w *testbed) {
		w.complete(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most[0].msgs != 2 || most[1].msgs < 2 || most[1].msgs > 3 || most[1].bytes > 7000 || most[2].msgs < 4 ||
			most[2].msgs > 5 || most[2].bytes > 20_000 {
			t.Errorf("most at once (events, live, backlog): %+v", most)
		}
	})
}

// A cloud that cannot store says so: nothing is sent, the session stays, and
// when it can again, new readings do not wait behind those of the pause.
func TestClosedWindows(t *testing.T) {
	var peer *uplinktest.Peer
	closed := wire.DefaultWindows
	closed.Ev.Msgs, closed.Live.Msgs, closed.Back.Msgs = 0, 0, 0
	var seen func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.CanSplit = true
		w.store.Append(1)
		seen = w.updates()
		w.cloud.OnPing = func(p *uplinktest.Peer, _ *wire.Ping) bool { peer = p; return false }
	}, func(w *testbed) {
		w.complete(5 * time.Second)
		peer.Send(&wire.Ack{Epochs: []wire.EpochAck{}, Win: &closed, Why: "storage"})
		w.pass(time.Second)
		if s := w.up.Status(); s.State != uplink.Paused || s.PausedBy != "storage" {
			t.Errorf("status %+v", s)
		}
		before := len(seen())
		for range 10 {
			w.store.Append(1000)
			w.pass(time.Minute)
		}
		if n := len(seen()); n > before+1 {
			t.Errorf("%d updates while paused", n-before)
		}
		peer.Send(&wire.Ack{Epochs: []wire.EpochAck{}, Win: &wire.DefaultWindows})
		w.complete(10 * time.Second)
		if len(w.cloud.Hellos()) != 1 || w.store.Splits() != 1 || w.up.Status().State != uplink.Online {
			t.Errorf("%d sessions, %d splits, %s", len(w.cloud.Hellos()), w.store.Splits(), w.up.Status().State)
		}
	})
}

// Events go before readings, each once, also over a lost line and a cloud that
// has lost some.
func TestEventsGoBeforeReadings(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		for i := range 40 {
			w.store.AddEvent(gateway.EventAlarm, fmt.Sprint(i))
		}
		w.store.Append(10)
		w.cloud.OnUpdate = func(*uplinktest.Peer, *wire.Update) bool {
			if n := len(w.cloud.Events()); n == 0 {
				t.Error("readings come before all events")
			}
			return false
		}
	}, func(w *testbed) {
		arrived := func(n int) {
			t.Helper()
			w.until(time.Minute, "all events", func() bool { return len(w.cloud.Events()) == n })
			for i, e := range w.cloud.Events() {
				if e.Seq != uint64(i+1) || string(e.Body) != fmt.Sprint(i) {
					t.Fatalf("event %d is %+v", i, e)
				}
			}
		}
		arrived(40)
		w.until(time.Second, "acked", func() bool { _, acked := w.store.LastEvent(); return acked.Seq == 40 })
		w.store.AddEvent(gateway.EventAlarm, "40")
		arrived(41)
		w.cloud.ForgetEvents(20)
		w.net.Cut()
		arrived(41)
		w.cloud.ForgetEvents(0)
		w.store.AddEvent(gateway.EventAlarm, "41") // alone at first; the ack tells nothing of a loss
		w.net.Cut()
		w.until(time.Minute, "all again", func() bool { return len(w.cloud.Events()) == 42 })
		if h := w.cloud.Hellos()[0].Events; h == nil || h.Next != 41 || h.Acked != 0 {
			t.Errorf("hello says %+v", h)
		}
	})
}

// A cloud that drains gets what is under way, nothing more, and is left alone
// for as long as it asked.
func TestDrainAndBye(t *testing.T) {
	const reason = "update of the server"
	for _, word := range []wire.Message{
		&wire.Drain{AfterMS: 100_000, SpreadMS: 50_000, Reason: reason}, &wire.Bye{NextS: 100, Reason: reason},
	} {
		var peer *uplinktest.Peer
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnPing = func(p *uplinktest.Peer, _ *wire.Ping) bool { peer = p; return false }
		}, func(w *testbed) {
			w.online()
			w.store.Append(5)
			w.complete(5 * time.Second)
			peer.Send(word)
			w.until(5*time.Second, "gone", func() bool { return w.up.Status().State == uplink.Waiting })
			s := w.up.Status()
			if wait := time.Until(s.NextTry); wait < 95*time.Second || wait > 152*time.Second || !strings.Contains(s.LastError, reason) {
				t.Errorf("%T: waits %v: %q", word, wait, s.LastError)
			}
			w.store.Append(5)
			w.until(3*time.Minute, "back", func() bool { return len(w.cloud.Hellos()) == 2 })
			w.complete(5 * time.Second)
		})
	}
}

// A cloud that sends away whoever comes, and at once, is not dialled in a tight
// loop.
func TestDrainedAsSoonAsItComes(t *testing.T) {
	for _, word := range []wire.Message{&wire.Drain{}, &wire.Bye{}} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnPing = func(p *uplinktest.Peer, _ *wire.Ping) bool {
				if len(w.cloud.Hellos()) < 1000 { // else a loop would never end: no time passes in it
					p.Send(word)
				}
				return true
			}
		}, func(w *testbed) {
			w.pass(time.Hour)
			if n := len(w.cloud.Hellos()); n < 5 || n > 60 {
				t.Errorf("%T: %d sessions in an hour", word, n)
			}
		})
	}
}

// Live updates go packed to a cloud that takes that, in session after session,
// also where some must be sent again.
func TestPackedLive(t *testing.T) {
	refused, packed := 0, map[*uplinktest.Peer][]int{}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Caps = []string{"packed"}
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			packed[p] = p.Packed()
			if refused < 3 && m.First%40 == 1 {
				refused++
				p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "storage", Retry: true, AfterMS: 3000})
				return true
			}
			return false
		}
	}, func(w *testbed) {
		for range 3 {
			for range 20 {
				w.store.Append(20)
				w.pass(time.Second)
			}
			w.net.Cut()
		}
		w.complete(time.Minute)
		for _, sizes := range packed { // the first of a session has nothing to be compared to
			if n := len(sizes); n < 10 || slices.Max(sizes[1:]) > sizes[0]*2/3 {
				t.Errorf("%d updates were packed in a session, into %d bytes", n, sizes)
			}
		}
		if n := len(w.cloud.Hellos()); n < 2 || n > 4 {
			t.Errorf("%d sessions", n)
		}
	})
}

// An event that is longer than a message of this cloud may be goes without its
// body: sent as it is it would end every session, and with them the readings.
func TestEventLongerThanAMessage(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Lim.Msg = wire.MinMessage
		w.store.AddEvent(gateway.EventAlarm, `"`+strings.Repeat("x", 8<<10)+`"`)
		w.store.AddEvent(gateway.EventAlarm, "2")
	}, func(w *testbed) {
		w.until(time.Minute, "both events", func() bool { return len(w.cloud.Events()) == 2 })
		if all := w.cloud.Events(); len(all[0].Body) > 100 || string(all[1].Body) != "2" {
			t.Errorf("the bodies are %.100s and %s", all[0].Body, all[1].Body)
		}
	})
}
