package uplink_test

import (
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// poison makes the cloud refuse every block that holds one of the seqs.
func poison(w *testbed, code wire.NackCode, seqs ...uint64) *atomic.Int32 {
	var refused atomic.Int32
	w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
		for _, seq := range seqs {
			if m.Blocks != nil && m.First <= seq && seq < m.First+m.N {
				refused.Add(1)
				p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: code})
				return true
			}
		}
		return false
	}
	return &refused
}

// One reading that the cloud does not take costs one reading.
func TestPoisonReading(t *testing.T) {
	var refused *atomic.Int32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		for range 3 {
			w.store.Append(4000)
		}
		refused = poison(w, wire.NackBlock, 5123, 12000)
	}, func(w *testbed) {
		w.complete(20 * time.Second)
		var gaps []uint64
		for _, taken := range w.cloud.Held(w.growing()).Taken {
			if taken.Gap != nil {
				gaps = append(gaps, taken.From, taken.To)
				if taken.Gap.Why != gateway.WhyRejected || taken.Gap.T0 != int64(1000*taken.From) {
					t.Errorf("gap %+v", taken.Gap)
				}
			}
		}
		if len(gaps) != 4 || gaps[0] != 5123 || gaps[1] != 5123 || gaps[2] != 12000 || gaps[3] != 12000 {
			t.Errorf("gaps %v", gaps)
		}
		if n := refused.Load(); n > 60 {
			t.Errorf("%d refusals", n)
		}
		if n := strings.Count(w.log.String(), "the cloud refuses this reading"); n != 2 || !strings.Contains(w.log.String(), "value=5123") {
			t.Errorf("told %d times:\n%s", n, w.log)
		}
		if n := len(w.cloud.Hellos()); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A cloud that takes no reading at all is a disagreement, not bad readings:
// they stay, other epochs go on, people are told, and it is tried again.
func TestCloudThatRefusesEverything(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(1000)
		w.store.Reopen(true)
		w.store.Append(5)
		old := w.store.All()[0].ID
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if m.Epoch != old || m.Blocks == nil {
				return false
			}
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "strange"})
			return true
		}
	}, func(w *testbed) {
		w.until(10*time.Second, "live", func() bool { return w.cloud.Held(w.growing()).Upto == 5 })
		w.until(time.Second, "held", func() bool { return strings.Contains(w.condition("uplink_held"), "strange") })
		if h := w.cloud.Held(w.store.All()[0].ID); h.Upto > 16 {
			t.Errorf("%d readings given up", h.Upto)
		}
		w.cloud.OnUpdate = nil
		w.complete(11 * time.Minute)
		if w.condition("uplink_held") != "" {
			t.Error("the condition stays")
		}
	})
}

// A time that the cloud cannot believe goes again as a guess: nothing is lost.
func TestTimeRefused(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(1000)
		w.store.Append(1000)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			h, err := block.Parse(m.Blocks[0])
			if err != nil {
				t.Error(err)
			}
			if h.Anchor.Quality == gateway.ClockNone || m.First > 1000 {
				return false
			}
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: wire.NackTime})
			return true
		}
	}, func(w *testbed) {
		w.complete(10 * time.Second)
		taken := w.cloud.Held(w.growing()).Taken
		if len(taken) != 2 {
			t.Fatalf("%d updates taken", len(taken))
		}
		if h, _ := block.Parse(taken[1].Blocks[0]); h.Anchor.Quality != gateway.ClockRTC {
			t.Error("what was not refused goes as it is")
		}
	})
}

// "Later" is not "never", and not at once either.
func TestNackWithRetry(t *testing.T) {
	var tries atomic.Int32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if tries.Add(1) > 40 {
				return false
			}
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "storage", Retry: true, AfterMS: 5000})
			return true
		}
	}, func(w *testbed) {
		w.pass(60 * time.Second)
		if n := tries.Load(); n < 11 || n > 13 {
			t.Errorf("%d tries in a minute", n)
		}
		w.complete(4 * time.Minute)
		if len(w.cloud.Hellos()) != 1 {
			t.Error("waiting costs no session")
		}
	})
}

// "Later" may be any number of milliseconds; more than an hour is an hour.
func TestNackWithRetryAfterYears(t *testing.T) {
	for _, after := range []int64{2 * time.Hour.Milliseconds(), math.MaxInt64/1_000_000 + 1, math.MaxInt64} {
		var tries []time.Time
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			w.store.Append(10)
			w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
				tries = append(tries, time.Now())
				if len(tries) == 1 {
					p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: "storage", Retry: true, AfterMS: after})
				}
				return len(tries) == 1
			}
		}, func(w *testbed) {
			w.complete(2 * time.Hour)
			if pause := tries[1].Sub(tries[0]); pause < time.Hour || pause > time.Hour+time.Minute {
				t.Errorf("after_ms %d: sent again after %v", after, pause)
			}
		})
	}
}

// A cloud that cannot store now, and does not say how long, is asked less and
// less often. The session stays open, commands arrive, and once it stores again
// it is asked at the old pace.
func TestNackWithRetryForHours(t *testing.T) {
	for _, code := range []wire.NackCode{"storage", "quota", wire.NackBlock, wire.NackTime} {
		var tries atomic.Int32
		var full atomic.Bool
		var did *clerk
		inTestbed(t, func(w *testbed, o *uplink.Options) {
			did = &clerk{}
			o.Commands = did
			w.store.Append(10)
			w.store.Reopen(true)
			w.store.Append(10)
			full.Store(true)
			w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
				if !full.Load() {
					return false
				}
				tries.Add(1)
				p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: code, Retry: true})
				return true
			}
		}, func(w *testbed) {
			w.pass(30 * time.Second)
			if n := tries.Load(); n < 8 || n > 17 { // at 0, 1, 3, 7, 15 s: readings of two epochs, and perhaps the end of one
				t.Errorf("%s: %d tries in half a minute", code, n)
			}
			w.pass(2 * time.Hour)
			if n := tries.Load(); n < 2*230 || n > 3*250 { // every 30 s
				t.Errorf("%s: %d tries in two hours", code, n)
			}
			w.cloud.SendAll(&wire.Command{ID: "c-1", Seq: 1, Device: "boiler", Action: "set", TTLMS: 1000})
			w.pass(time.Second)
			did.mu.Lock()
			n := len(did.commands)
			did.mu.Unlock()
			if n != 1 {
				t.Errorf("%s: a command does not arrive", code)
			}
			full.Store(false)
			w.complete(31 * time.Second)
			full.Store(true)
			w.store.Append(1)
			before := tries.Load()
			w.pass(5 * time.Second)
			if n := tries.Load() - before; n != 3 {
				t.Errorf("%s: %d tries after something was stored, at 0, 1 and 3 s", code, n)
			}
			if n := len(w.cloud.Hellos()); n != 1 {
				t.Errorf("%s: %d sessions", code, n)
			}
		})
	}
}

// A cloud that asks for the same seq for ever ends the session, not the CPU.
func TestNackSeqInCircles(t *testing.T) {
	var nacks atomic.Int32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			nacks.Add(1)
			p.Send(&wire.Nack{Epoch: m.Epoch, First: m.First, N: m.N, Code: wire.NackSeq, Retry: true, Expected: m.First})
			return true
		}
	}, func(w *testbed) {
		w.until(2*time.Minute, "told", func() bool { return strings.Contains(w.up.Status().LastError, "updates in a row") })
		w.pass(time.Hour)
		if n := nacks.Load(); n > 26*60 {
			t.Errorf("%d updates in an hour", n)
		}
	})
}

// What is stored in bigger pieces than the cloud takes goes in smaller ones.
func TestLimitsOfTheCloud(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(12000)
		w.store.Append(500)
		w.cloud.Welcome.Lim = wire.Limits{Msg: wire.MinMessage, BlockN: 1000}
		w.cloud.OnUpdate = func(_ *uplinktest.Peer, m *wire.Update) bool {
			if len(m.Blocks[0]) > wire.MinMessage || m.N > 1000 {
				t.Errorf("update of %d readings, %d bytes", m.N, len(m.Blocks[0]))
			}
			return false
		}
	}, func(w *testbed) { w.complete(time.Minute) })
}
