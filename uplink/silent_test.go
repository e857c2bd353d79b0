package uplink_test

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A cloud that pauses while something is under way may take as long as it
// likes for the answer; from the end of the pause on it has the usual time.
func TestPauseWhileUnderWay(t *testing.T) {
	var peer *uplinktest.Peer
	var under *wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if under != nil {
				return false
			}
			peer, under = p, m
			p.Send(&wire.Ack{Win: &wire.Windows{}})
			return true
		}
	}, func(w *testbed) {
		w.until(time.Minute, "paused", func() bool { return w.up.Status().State == uplink.Paused })
		w.pass(5*time.Minute + 15*time.Second)
		peer.Send(&wire.Ack{Win: &wire.DefaultWindows})
		w.pass(20 * time.Second)
		peer.Send(w.cloud.Take(under))
		w.complete(10 * time.Second)
		if n := len(w.cloud.Hellos()); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A cloud that answers no update is left in time, however much it lets the
// gateway send meanwhile.
func TestSilentCloudWithAHugeWindow(t *testing.T) {
	huge := wire.Window{Msgs: 1 << 16, Bytes: 1 << 30}
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Win = &wire.Windows{Ev: huge, Live: huge, Back: huge}
		w.cloud.OnUpdate = func(*uplinktest.Peer, *wire.Update) bool { return true }
	}, func(w *testbed) {
		w.online()
		for range 35 {
			w.store.Append(1)
			w.pass(time.Second)
		}
		if w.up.Status().LastError == "" {
			t.Error("it is still believed")
		}
	})
}

// A cloud that drains and then is silent is left when the time for the answers
// is over, as is one that is silent when the gateway stops.
func TestSilentCloudAtTheEnd(t *testing.T) {
	for _, drains := range []bool{true, false} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.cloud.OnUpdate = func(p *uplinktest.Peer, _ *wire.Update) bool {
				if drains {
					p.Send(&wire.Drain{AfterMS: 600_000})
				}
				return true
			}
		}, func(w *testbed) {
			w.online()
			w.store.Append(10)
			w.pass(100 * time.Millisecond)
			if !drains {
				w.stop()
			}
			w.pass(8 * time.Second)
			if s := w.up.Status().State; drains && s != uplink.Waiting || !drains && s != uplink.Off {
				t.Errorf("drains %v: it is still %s", drains, s)
			}
		})
	}
}
