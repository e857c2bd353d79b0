package uplink_test

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A close frame explains the write that fails behind it, whichever of the two
// is noticed first.
func TestCloseWhileSending(t *testing.T) {
	for range 30 {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.store.Append(300)
			w.store.Append(300)
			w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
				p.Send(w.cloud.Take(m))
				p.Close(wire.CloseForbidden, "")
				return true
			}
		}, func(w *testbed) {
			w.until(time.Minute, "closed", func() bool { return w.up.Status().LastError != "" })
			if s := w.up.Status(); s.State != uplink.Refused {
				t.Errorf("%s: %s", s.State, s.LastError)
			}
		})
	}
}

// An ended epoch that found no room in hello begins with its closing update:
// the answer says whether anything of it is missing at all.
func TestUnlistedEpochBeginsWithItsEnd(t *testing.T) {
	var seen func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		seen = w.updates()
		for range 260 {
			w.store.Append(5)
			w.store.Reopen(true)
		}
	}, func(w *testbed) {
		w.complete(time.Minute)
		begun := map[gateway.EpochID]bool{}
		for _, e := range w.cloud.Hellos()[0].Epochs {
			begun[e.Epoch] = true
		}
		unlisted := 0
		for _, m := range seen() {
			if begun[m.Epoch] {
				continue
			}
			begun[m.Epoch] = true
			unlisted++
			if m.End == nil || m.N != 0 || m.First != 6 {
				t.Errorf("begins with %+v", m)
			}
		}
		if unlisted != 5 {
			t.Errorf("%d epochs found no room", unlisted)
		}
	})
}
