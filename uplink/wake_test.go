package uplink_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
)

// Wake ends a pause at once, and does not reset the back-off.
func TestWakeEndsPause(t *testing.T) {
	inTestbed(t, nil, func(w *testbed) {
		w.online()
		w.net.Hang(true)
		w.net.Cut()
		// Fail until a pause of more than a minute begins.
		w.until(24*time.Hour, "in a long pause", func() bool {
			return w.up.Status().State == uplink.Waiting && time.Until(w.up.Status().NextTry) > time.Minute
		})
		before, tries := w.net.Dials(), w.up.Status().Tries
		w.up.Wake()
		w.pass(time.Millisecond)
		if n := w.net.Dials() - before; n != 1 || w.up.Status().State != uplink.Connecting {
			t.Errorf("%d dials after Wake, state %v", n, w.up.Status().State)
		}
		w.up.Wake() // a try is under way: nothing to cut, now or later
		w.pass(16 * time.Second)
		s := w.up.Status()
		if s.State == uplink.Waiting && s.Tries != tries+1 || w.net.Dials()-before > 2 {
			t.Errorf("%d tries, were %d; %d dials", s.Tries, tries, w.net.Dials()-before)
		}
		w.net.Hang(false)
		w.until(10*time.Minute, "back", func() bool { return w.up.Status().State == uplink.Online })
		// In a session Wake does nothing, also not to the pause that follows it.
		w.up.Wake()
		w.pass(time.Second)
		before = w.net.Dials()
		if w.up.Status().State != uplink.Online {
			t.Error("Wake ended a session")
		}
		w.net.Cut()
		w.pass(0)
		if w.up.Status().State != uplink.Waiting || w.net.Dials() != before {
			t.Error("a Wake of long ago cut a pause")
		}
	})
}

func TestWakeLeavesARefusedCredentialAlone(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.Token = "another" }, func(w *testbed) {
		w.until(time.Minute, "refused", func() bool { return w.up.Status().State == uplink.Refused })
		next := w.up.Status().NextTry
		for range 10 {
			w.up.Wake()
			w.pass(20 * time.Second)
		}
		if n := w.net.Dials(); n != 1 || !w.up.Status().NextTry.Equal(next) {
			t.Errorf("%d dials; next try %v, was %v", n, w.up.Status().NextTry, next)
		}
	})
}

func TestWakeKeepsWhatTheServerAskedFor(t *testing.T) {
	full := true
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.OnUpgrade = func(a http.ResponseWriter, r *http.Request) bool {
			if full {
				a.Header().Set("Retry-After", "40")
				a.WriteHeader(http.StatusServiceUnavailable)
			}
			return full
		}
	}, func(w *testbed) {
		w.until(time.Minute, "turned away", func() bool { return w.condition("uplink_unreachable") != "" })
		w.pass(0)
		w.up.Wake()
		w.pass(30 * time.Second)
		if n := w.net.Dials(); n != 1 {
			t.Errorf("%d dials within the time the server asked for", n)
		}
		full = false
		w.until(11*time.Second, "online", func() bool { return w.up.Status().State == uplink.Online })
	})
}
