package uplink_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A chaos is a cloud and a network in a bad mood.
type chaos struct {
	mu sync.Mutex
	r  *rand.Rand
	on bool
}

func (c *chaos) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func (c *chaos) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

// update is a cloud that loses acks, loses its tail, answers late or twice,
// and closes, before and after it has stored.
func (c *chaos) update(w *testbed) func(p *uplinktest.Peer, m *wire.Update) bool {
	return func(p *uplinktest.Peer, m *wire.Update) bool {
		c.mu.Lock()
		on := c.on
		c.mu.Unlock()
		if !on {
			return false
		}
		switch c.n(24) {
		case 0: // stored, the ack is lost
			w.cloud.Take(m)
			p.Close(1011, "")
		case 1: // not stored
			p.Close(1012, "")
		case 2: // stored, silence
			w.cloud.Take(m)
		case 3: // said twice
			a := w.cloud.Take(m)
			p.Send(a)
			p.Send(a)
		case 4: // the unsynced tail is lost
			if h := w.cloud.Held(m.Epoch); h.Upto > 0 {
				w.cloud.Forget(m.Epoch, uint64(c.n(int(h.Upto))))
			}
			return false
		case 5: // no room at present
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "storage", Retry: true, AfterMS: 1500})
		case 6: // an answer to something long past
			p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: w.cloud.Held(m.Epoch).Upto}}})
			return false
		case 7: // neither stored nor answered
		default:
			return false
		}
		return true
	}
}

// step does one thing that happens to a gateway.
func (c *chaos) step(w *testbed) {
	switch c.n(12) {
	case 0:
		w.store.AppendGap(1+c.n(50), gateway.WhyCardFailed)
	case 1:
		w.store.Reopen(c.n(2) == 0)
	case 2:
		w.net.Cut()
	case 3:
		w.net.CutAfter(1000 + c.n(20000))
	case 4:
		w.net.CutAfter(0)
	case 5:
		w.net.Stall() // for ever; the next connection works
	case 6:
		w.up.Wake()
	default:
		w.store.Append(1 + c.n(300))
	}
	w.pass(time.Duration(c.n(20000)) * time.Millisecond)
}

// Whatever breaks, and wherever: in the end the cloud has every name once, in
// order, with what belongs to it, and the end of every epoch that has ended.
func TestRandomTroubleLosesAndDoublesNothing(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := &chaos{r: rand.New(rand.NewPCG(uint64(seed), 1)), on: true}
			inTestbed(t, func(w *testbed, o *uplink.Options) { w.cloud.OnUpdate = c.update(w) }, func(w *testbed) {
				for range 80 {
					c.step(w)
				}
				c.set(false)
				w.net.CutAfter(0)
				w.net.Cut()
				w.store.Append(1)
				w.complete(time.Hour)
			})
		})
	}
}
