package uplink_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The error of the cloud's time is half of the quickest answer's way there and
// back, of the last eight; an answer that comes twice counts once.
func TestTimeOverTheSession(t *testing.T) {
	var pings, used atomic.Int64
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		o.SessionTime = func(int64, time.Duration) { used.Add(1) }
		w.cloud.OnPing = func(p *uplinktest.Peer, m *wire.Ping) bool {
			takes := 100 * time.Millisecond
			if pings.Add(1) > 4 {
				takes = time.Second
			}
			time.Sleep(takes) // virtual
			now := time.Now().UnixMicro()
			p.Send(&wire.Pong{T0: m.T0, T1: now, T2: now})
			p.Send(&wire.Pong{T0: m.T0, T1: now, T2: now})
			return true
		}
	}, func(w *testbed) {
		w.online()
		w.until(10*time.Second, "timed", func() bool { return used.Load() >= 4 })
		if c := w.up.Status().Clock; c == nil || c.Error < 50_000 || c.Error > 51_000 {
			t.Errorf("clock %+v", c)
		}
		w.pass(10 * time.Minute)
		if c := w.up.Status().Clock; c == nil || c.Error < 500_000 || c.Error > 600_000 {
			t.Errorf("ten minutes later: clock %+v", c)
		}
		if n := pings.Load(); used.Load() > n {
			t.Errorf("%d answers used of %d", used.Load(), n)
		}
	})
}
