package uplink_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The pauses between tries are full jitter under a limit that doubles.
func TestBackOffBounds(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { o.Dial = refuseAll(w) }, func(w *testbed) {
		w.pass(6 * time.Hour)
		at := w.dialled
		limit, sum := time.Second, 0.0
		for i := 1; i < len(at); i++ {
			limit = min(2*limit, 5*time.Minute)
			pause := at[i].Sub(at[i-1])
			if pause > limit {
				t.Errorf("pause %d is %v, above %v", i, pause, limit)
			}
			if i > 10 {
				sum += pause.Seconds()
			}
		}
		// 6 h in uniform pauses of 0 to 5 min are about 144 tries; the mean of
		// 130 such pauses lies within 5 standard errors of 150 s.
		if mean := sum / float64(len(at)-11); len(at) < 80 || mean < 110 || mean > 190 {
			t.Errorf("%d tries, mean pause %v s", len(at), mean)
		}
	})
}

func refuseAll(w *testbed) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		w.dialled = append(w.dialled, time.Now())
		return nil, syscall.ECONNREFUSED
	}
}

func TestRetryAfter(t *testing.T) {
	for header, least := range map[string]time.Duration{
		"120":                           2 * time.Minute,
		"Sat, 01 Jan 2000 00:10:00 GMT": 9 * time.Minute,
		"99999999":                      time.Hour,
		"soon":                          0,
		"-5":                            0,
	} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnUpgrade = func(a http.ResponseWriter, _ *http.Request) bool {
				a.Header().Set("Retry-After", header)
				a.WriteHeader(http.StatusTooManyRequests)
				return true
			}
		}, func(w *testbed) {
			w.until(time.Minute, "refused", func() bool { return w.up.Status().LastError != "" })
			if wait := time.Until(w.up.Status().NextTry); wait < least-time.Second || wait > least+time.Minute+time.Second {
				t.Errorf("Retry-After %s: waits %v", header, wait)
			}
		})
	}
}

// Sessions that break before they have proved anything do not reset the
// back-off: a cloud that welcomes and then fails is not hammered.
func TestUnprovenSessionsKeepTheBackOff(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(5)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			p.Send(w.cloud.Take(m))
			p.Close(1011, "")
			return true
		}
	}, func(w *testbed) {
		for range 600 {
			w.store.Append(1)
			w.pass(10 * time.Second)
		}
		if n := len(w.cloud.Hellos()); n < 10 || n > 80 {
			t.Errorf("%d sessions in 100 minutes, want about 45", n)
		}
	})
}

// A proven session resets the back-off; after its loss everybody comes back
// within the spread that the server chose.
func TestSpreadAfterALoss(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 600 }, func(w *testbed) {
		var longest time.Duration
		for range 30 {
			w.until(11*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
			w.store.Append(1)
			w.pass(2 * time.Minute) // proven
			w.net.Cut()
			w.pass(0)
			longest = max(longest, time.Until(w.up.Status().NextTry))
		}
		// 30 draws from 0 to 600 s all stay under 300 s once in 10^9 runs.
		if longest < 300*time.Second || longest > 600*time.Second {
			t.Errorf("longest pause %v", longest)
		}
	})
}

// The back-off does not come on top of the spread: who drew the end of it
// would be back behind it.
func TestSpreadIsNotExceeded(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 1 }, func(w *testbed) {
		for range 30 { // both are draws from 0 to 1 s: of 30 sums half are longer
			w.until(time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
			w.store.Append(1)
			w.pass(2 * time.Minute) // proven
			w.net.Cut()
			w.pass(0)
			if wait := time.Until(w.up.Status().NextTry); wait > time.Second {
				t.Fatalf("a pause of %v", wait)
			}
		}
	})
}

// A gateway that finds nobody comes again at a random time within what is left
// of the spread: those of a fleet that came while the cloud started shall not
// come together right after it.
func TestSpreadIsDrawnAgain(t *testing.T) {
	for _, drained := range []bool{false, true} {
		inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Welcome.SpreadS = 600 }, func(w *testbed) {
			var longest time.Duration
			for range 30 {
				w.until(11*time.Minute, "online", func() bool { return w.up.Status().State == uplink.Online })
				w.store.Append(1)
				w.pass(2 * time.Minute) // proven
				began, dials := time.Now(), w.net.Dials()
				w.net.Refuse(address, true)
				if drained {
					w.cloud.SendAll(&wire.Drain{AfterMS: 1000})
				} else {
					w.net.Cut()
				}
				w.pass(0)
				w.until(11*time.Minute, "refused", func() bool { return w.net.Dials() > dials })
				first := time.Since(began)
				w.pass(0)
				again := time.Until(w.up.Status().NextTry)
				if longest = max(longest, again); first+again > 601*time.Second {
					t.Errorf("drained %v: after %v again in %v", drained, first, again)
				}
				w.net.Refuse(address, false)
			}
			if longest < 60*time.Second { // of 30 draws
				t.Errorf("drained %v: the longest second pause was %v", drained, longest)
			}
		})
	}
}
