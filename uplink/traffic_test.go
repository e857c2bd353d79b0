package uplink_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Every byte of the socket is of one kind, and a restart goes on counting.
func TestTraffic(t *testing.T) {
	var kept atomic.Value
	var carried atomic.Int64
	setup := func(w *testbed, o *uplink.Options) {
		carried.Store(0)
		o.Dial = func(ctx context.Context, network, at string) (net.Conn, error) {
			c, err := w.net.Dial(ctx, network, at)
			return &countedConn{c, &carried}, err
		}
		w.store.Append(500)
		w.store.Reopen(true)
		w.cloud.Welcome.HB.PingS = 300
		o.Keep = func(b []byte) {
			if time.Now().YearDay() == 1 { // power fails on that evening
				kept.Store(b)
			}
		}
		if b, ok := kept.Load().([]byte); ok {
			o.Kept = b
		}
	}
	month := int64(0)
	for round := range 2 {
		inTestbed(t, setup, func(w *testbed) {
			w.online()
			w.store.Append(5)
			w.complete(time.Minute)
			w.pass(10 * time.Minute)
			traffic := w.up.Status().Traffic
			u := traffic.Since
			if u.Control+u.Live+u.Backlog+u.Events+u.Commands+u.TLS+u.TCP != u.Total() || u.Sent+u.Received != carried.Load() {
				t.Errorf("%+v is not %d", u, carried.Load())
			}
			if u.Live < 100 || u.Backlog < 200 || u.Control < 300 || u.TLS < 1500 || u.Sent < u.Backlog {
				t.Errorf("%+v", u)
			}
			if traffic.Today.Date != "2000-01-01" || traffic.Month != "2000-01" {
				t.Errorf("%+v", traffic)
			}
			if round == 0 {
				month = traffic.Used
			} else if traffic.Used < month+u.Total()-1000 || traffic.Since.Total() >= traffic.Used {
				t.Errorf("%d in the month after a restart, were %d", traffic.Used, month)
			}
			w.pass(24 * time.Hour)
			traffic = w.up.Status().Traffic
			if traffic.Yesterday.Date != "2000-01-01" || traffic.Today.Date != "2000-01-02" || traffic.Today.Control == 0 ||
				traffic.Today.Live != 0 {
				t.Errorf("%+v", traffic)
			}
			w.pass(31 * 24 * time.Hour)
			if traffic = w.up.Status().Traffic; traffic.Month != "2000-02" || traffic.Used > traffic.Idle*2 {
				t.Errorf("%+v", traffic)
			}
		})
	}
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// noClock is a board whose clock nobody set.
type noClock struct{ boardClock }

func (c noClock) Anchor() gateway.Anchor {
	a := c.boardClock.Anchor()
	a.Quality = gateway.ClockNone
	return a
}

// A clock that nobody set turns no page: the month's count outlives a boot in
// another century.
func TestTrafficOfABoardWithoutClock(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Clock = noClock{boardClock{time.Now()}}
		o.Kept = []byte(`{"month":"1999-12","used":1000000,"today":{"date":"1999-12-31","sent":5}}`)
		w.net.Refuse(address, true)
	}, func(w *testbed) {
		w.pass(time.Hour)
		if traffic := w.up.Status().Traffic; traffic.Month != "1999-12" || traffic.Used < 1_000_000 || traffic.Today.Date != "1999-12-31" {
			t.Errorf("%+v", traffic)
		}
		w.net.Refuse(address, false)
		w.until(10*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
		w.pass(time.Minute)
		if traffic := w.up.Status().Traffic; traffic.Month != "2000-01" || traffic.Used > 100_000 || traffic.Yesterday.Sent < 5 {
			t.Errorf("%+v", traffic)
		}
	})
}

// Over its budget a gateway keeps the backlog back, slows live down to the
// floor, and sends what waited when time has caught up.
func TestBudgetHoldsBack(t *testing.T) {
	var got func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.Budget = uplink.Budget{Limit: 310 * mib, Floor: time.Minute}
		o.Kept = []byte(`{"month":"2000-01","used":41943040,"today":{"date":"2000-01-01"}}`) // four days' part
		w.store.Append(1000)
		w.store.Reopen(true)
		got = w.updates()
	}, func(w *testbed) {
		w.online()
		backlog := w.store.All()[0]
		for range 600 {
			w.store.Append(20)
			w.pass(time.Second)
		}
		live := 0
		for _, m := range got() {
			if m.Lane == wire.LaneBacklog {
				t.Fatalf("backlog is sent: %+v", m)
			}
			live++
		}
		if live < 10 || live > 13 {
			t.Errorf("%d live updates in ten minutes", live)
		}
		traffic := w.up.Status().Traffic
		if traffic.HeldBack != "backlog, live" || traffic.Budget != 310*mib {
			t.Errorf("%+v", traffic)
		}
		w.pass(75 * time.Hour)
		if h := w.cloud.Held(backlog.ID); h.Upto != backlog.Last {
			t.Errorf("after three days the cloud has %d of the backlog", h.Upto)
		}
		if traffic := w.up.Status().Traffic; traffic.HeldBack != "" {
			t.Errorf("%+v", traffic)
		}
	})
}

// A budget that is used up is told once, and taken back with the next month.
func TestBudgetUsedUp(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.HB.PingS = 300
		o.Budget = uplink.Budget{Limit: 10 * mib, Floor: time.Minute}
		o.Kept = []byte(`{"month":"2000-01","used":10485761,"today":{"date":"2000-01-01"}}`)
	}, func(w *testbed) {
		w.online()
		w.pass(time.Hour)
		if c := w.condition("uplink_budget"); !strings.Contains(c, "for 2000-01 (10 MiB)") || !strings.Contains(c, "[uplink] budget") {
			t.Errorf("says %q", c)
		}
		if n := strings.Count(w.log.String(), "has used its budget"); n != 1 {
			t.Errorf("told %d times", n)
		}
		w.pass(31 * 24 * time.Hour)
		if c := w.condition("uplink_budget"); c != "" {
			t.Errorf("in the next month: %q", c)
		}
	})
}

// What heartbeats cost, measured on a real socket with real TLS, is what the
// status computes.
func TestIdleCost(t *testing.T) {
	t.Parallel()
	s := onLoopback(t)
	s.cloud.Welcome.HB.PingS = 1
	var pings atomic.Int64
	s.cloud.OnPing = func(*uplinktest.Peer, *wire.Ping) bool { pings.Add(1); return false }
	o := s.options()
	o.Clock = boardClock{time.Now().Add(-2 * time.Hour)}
	s.run(o)
	s.online()
	count := func(n int64) (at int64, use uplink.Use) {
		s.until("beating", func() bool { return pings.Load() >= n })
		use = s.up.Status().Traffic.Since
		return pings.Load(), use
	}
	lateness := e2e.Lateness(t)
	from, before := count(6)      // behind the burst
	to, after := count(from + 12) // what is under way at either end matters little
	late := lateness()
	// A heartbeat is a ping, its pong, and the segment that acknowledges the pong.
	const header = 20 + 20 + 12 // of a segment
	idle := s.up.Status().Traffic.Idle / 86400
	beats := float64(to - from)
	socket := float64(after.Sent + after.Received - before.Sent - before.Received)
	segments := float64(after.TCP-before.TCP) / header
	t.Logf("idle: %.0f heartbeats, %.0f bytes and %.0f segments; %d bytes each are computed; the machine was %v late",
		beats, socket, segments, idle, late.Round(time.Millisecond))
	// A late machine has pings under way at either end, each second one more; and the kernel acknowledges a ping
	// by a segment of its own if the pong does not come within 40 ms.
	underWay, most := 6*late.Seconds()/beats, 3.0
	if late > 30*time.Millisecond {
		most = 4
	}
	if ratio := socket / beats / float64(idle-3*header); ratio < 0.8-underWay || ratio > 1.25+underWay {
		t.Errorf("the socket carried %.2f of what is computed", ratio)
	}
	if each := segments / beats; each < 3*(0.8-underWay) || each > most*(1.25+underWay) {
		t.Errorf("%.2f segments for a heartbeat", each)
	}
	if strings.Contains(s.log.String(), "WARN") {
		t.Error(s.log)
	}
}
