package uplink_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// unusable are answers to an update that say nothing of what is held.
var unusable = map[string]func(t *testing.T, p *uplinktest.Peer, m *wire.Update){
	"no answer": func(*testing.T, *uplinktest.Peer, *wire.Update) {},
	"an error": func(_ *testing.T, p *uplinktest.Peer, _ *wire.Update) {
		p.Send(&wire.Error{Code: "malformed", Message: "no"})
	},
	"a nack without expected": func(t *testing.T, p *uplinktest.Peer, m *wire.Update) {
		data, err := wire.Encode(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "sea", Retry: true})
		if err != nil {
			t.Error(err)
		}
		p.SendFrame(websocket.BinaryMessage, bytes.Replace(data, []byte("sea"), []byte(wire.NackSeq), 1))
	},
}

// A nack that says where to go on counts, also if that lies in an update that
// went before and that nobody answered: of the growing epoch and of an old one.
func TestExpectedBeforeFlights(t *testing.T) {
	for answer, unanswered := range unusable {
		for _, lane := range []wire.Lane{wire.LaneLive, wire.LaneBacklog} {
			t.Run(answer, func(t *testing.T) {
				var got func() []wire.Update
				inTestbed(t, func(w *testbed, o *uplink.Options) {
					w.cloud.Welcome.Lim = wire.Limits{BlockN: 100}
					for range 6 {
						w.store.Append(300)
					}
					if lane == wire.LaneBacklog {
						w.store.Reopen(true)
					}
					n := 0
					w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
						if m.Lane != lane {
							return false
						}
						if n++; n == 3 || n == 12 {
							unanswered(t, p, m)
							return true
						}
						return false
					}
					got = w.updates()
				}, func(w *testbed) {
					w.complete(20 * time.Second)
					if n := len(w.cloud.Hellos()); n != 1 {
						t.Errorf("%d sessions", n)
					}
					if n := len(got()); n > 100 {
						t.Errorf("%d updates", n)
					}
				})
			})
		}
	}
}

// The same at the pace of live readings, a second apart: the next update's
// answer brings back what the one before did not bring.
func TestExpectedAtPaceOfReadings(t *testing.T) {
	for answer, unanswered := range unusable {
		t.Run(answer, func(t *testing.T) {
			var got func() []wire.Update
			inTestbed(t, func(w *testbed, o *uplink.Options) {
				n := 0
				w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
					if n++; n == 3 {
						unanswered(t, p, m)
						return true
					}
					return false
				}
				got = w.updates()
			}, func(w *testbed) {
				w.online()
				for range 5 {
					w.store.Append(6)
					w.pass(time.Second)
				}
				w.complete(2 * time.Second)
				if n := len(w.cloud.Hellos()); n != 1 {
					t.Errorf("%d sessions", n)
				}
				if n := len(got()); n > 12 {
					t.Errorf("%d updates", n)
				}
			})
		})
	}
}

// An update or an event without an answer is not waited for as long as
// something else is answered: the session ends, and the next one goes on.
func TestUnansweredBesideWhatIsAnswered(t *testing.T) {
	for _, unheard := range []func(m *wire.Update) bool{
		func(m *wire.Update) bool { return m.End != nil },
		func(m *wire.Update) bool { return m.Lane == wire.LaneBacklog },
	} {
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.store.Append(10)
			w.store.Reopen(true)
			w.cloud.OnUpdate = func(_ *uplinktest.Peer, m *wire.Update) bool {
				return len(w.cloud.Hellos()) == 1 && unheard(m)
			}
		}, func(w *testbed) {
			w.online()
			for range 50 {
				w.store.Append(1)
				w.pass(time.Second)
			}
			w.complete(2 * time.Second)
			if n := len(w.cloud.Hellos()); n != 2 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}
