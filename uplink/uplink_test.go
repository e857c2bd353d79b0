package uplink_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestBacklogThenLive(t *testing.T) {
	var seen func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Lim.Msg = wire.MinMessage
		w.store.Noise = true
		for range 50 {
			w.store.Append(1000)
		}
		w.store.AppendGap(100_007, gateway.WhyCardFailed) // more than a block may have
		w.store.Append(20)
		w.store.Reopen(true)
		w.store.Append(20)
		w.store.Reopen(false)
		w.store.Append(3)
		seen = w.updates()
	}, func(w *testbed) {
		w.complete(10 * time.Second)
		all := w.store.All()
		if ends := w.cloud.Held(all[0].ID).Ends; len(ends) != 1 || *ends[0].Closed != all[0].Last {
			t.Errorf("orderly end arrived as %+v", ends)
		}
		if ends := w.cloud.Held(all[1].ID).Ends; len(ends) != 1 || ends[0].Closed != nil || ends[0].AtMost != 100 ||
			ends[0].Why != gateway.WhyUncleanStop {
			t.Errorf("open end arrived as %+v", ends)
		}
		// The newest reading does not wait for the 50,000 before it.
		if got := seen(); len(got) < 20 || got[0].Lane != wire.LaneLive || got[0].Epoch != all[2].ID || got[1].Lane != wire.LaneBacklog {
			t.Errorf("%d updates, the first of them %+v", len(got), got[0])
		}
		s := w.up.Status()
		if s.State != uplink.Online || s.Session != "s1" || s.Level != wire.LevelFsynced || s.Acked != 50000+100_007+20+20+3 ||
			s.Endpoint != "wss://cloud.test/v1/gateway" {
			t.Errorf("status %+v", s)
		}
		w.store.Append(1)
		w.complete(2 * time.Second)
	})
}

// Small live updates leave once a second, whatever arrives between.
func TestLivePace(t *testing.T) {
	var seen func() []wire.Update
	inTestbed(t, func(w *testbed, o *uplink.Options) { seen = w.updates() }, func(w *testbed) {
		w.online()
		for range 100 {
			w.store.Append(1)
			w.pass(100 * time.Millisecond)
		}
		w.complete(3 * time.Second)
		if n := len(seen()); n < 10 || n > 12 {
			t.Errorf("%d updates in ten seconds", n)
		}
		w.pass(2 * time.Second)
		before := len(seen())
		asked := w.store.Asked()
		w.store.Append(5)
		w.pass(10 * time.Millisecond)
		w.store.Append(5)
		w.pass(500 * time.Millisecond)
		if n := len(seen()); n != before+1 {
			t.Errorf("%d updates within half a second, want one", n-before)
		}
		w.pass(time.Second)
		if n := len(seen()); n != before+2 || w.store.Asked() > asked+6 {
			t.Errorf("%d updates after a second, want two; the store was asked %d times", n-before, w.store.Asked()-asked)
		}
	})
}

func TestHelloOfGateway(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.store.Append(10)
		w.store.Reopen(false)
		w.cloud.OnHello = func(p *uplinktest.Peer, _ *wire.Hello) bool { // a later version says more
			p.SendFrame(websocket.BinaryMessage, []byte{0xa1, 0x00, 0x18, 99})
			return false
		}
	}, func(w *testbed) {
		w.online()
		if n := len(w.cloud.Hellos()); n != 1 {
			t.Errorf("said hello %d times", n)
		}
		h := w.cloud.Hellos()[0]
		if h.GatewayID != "plant-7" || h.BootID != (gateway.BootID{7}) || h.Software != "fieldgate/test" || !h.All {
			t.Errorf("%+v", h)
		}
		if h.Clock != (wire.ClockState{Quality: gateway.ClockRTC, Offset: 3_000_000, ErrMS: 1000}) || h.Backlog.N != 10 {
			t.Errorf("%+v", h)
		}
		all := w.store.All()
		want := []wire.HelloEpoch{{Epoch: all[0].ID, Oldest: 1, Last: 10, Growth: gateway.OpenEnded}, {Epoch: all[1].ID, Oldest: 1}}
		if len(h.Epochs) != 2 || h.Epochs[0] != want[0] || h.Epochs[1] != want[1] {
			t.Errorf("epochs %+v", h.Epochs)
		}
	})
}

// More epochs than hello takes: those without room send their closing update
// first, and go back where the cloud says.
func TestMoreEpochsThanHelloTakes(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		for i := range 300 {
			w.store.Append(3)
			w.store.Append(2)
			w.store.Reopen(i%2 == 0)
		}
		w.store.Append(1)
	}, func(w *testbed) {
		w.complete(time.Minute)
		h := w.cloud.Hellos()[0]
		if len(h.Epochs) != wire.MaxHelloEpochs || h.All || h.Epochs[255].Epoch != w.growing() {
			t.Errorf("%d epochs, all %v", len(h.Epochs), h.All)
		}
		w.net.Cut()
		w.until(5*time.Minute, "back", func() bool { return len(w.cloud.Hellos()) == 2 })
		if !w.cloud.Hellos()[1].All {
			t.Error("all that is unfinished is listed now")
		}
	})
}

func TestLostAckCostsAResend(t *testing.T) {
	lost := 0
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Lim.Msg = wire.MinMessage
		w.store.Noise = true
		w.store.Append(2500)
		w.store.Append(2500)
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			if m.First+m.N > 5000 && lost == 0 {
				lost++
				w.cloud.Take(m)
				return true // stored; the ack is never sent
			}
			return false
		}
	}, func(w *testbed) {
		w.complete(5 * time.Second)
		w.until(time.Minute, "back", func() bool { return len(w.cloud.Hellos()) == 2 })
		if told := w.up.Status().LastError; !strings.Contains(told, "no answer to an update") {
			t.Errorf("told %q", told)
		}
		w.store.Append(5)
		w.complete(time.Minute)
		if e := w.store.All()[0]; e.Acked != 5005 {
			t.Errorf("acked %d", e.Acked)
		}
	})
}

// The cloud's word counts also when it is less than yesterday's: what is still
// held is sent again, what is not is a gap.
func TestGoingBackByWelcome(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		for range 10 {
			w.store.Append(300)
		}
	}, func(w *testbed) {
		w.complete(10 * time.Second)
		w.store.Forget(w.growing(), 1500)
		w.cloud.Forget(w.growing(), 1000)
		w.net.Cut()
		w.complete(time.Minute)
		var gaps, again uint64
		for _, taken := range w.cloud.Held(w.growing()).Taken {
			if taken.Gap != nil {
				gaps += taken.To - taken.From + 1
			} else if taken.From > 1000 {
				again += taken.To - taken.From + 1
			}
		}
		if gaps != 500 || again != 1500 {
			t.Errorf("%d in gaps, %d again", gaps, again)
		}
	})
}

func TestGoingBackByNackAndAck(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.Welcome.Lim.Msg = wire.MinMessage
		w.store.Noise = true
		for range 10 {
			w.store.Append(2500)
		}
		n := 0
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			switch n++; n {
			case 4: // lost its tail between two updates: the update does not fit
				w.cloud.Forget(m.Epoch, 450)
			case 12: // the same, and it notices itself
				w.cloud.Forget(m.Epoch, 100)
				p.Send(&wire.Ack{Epochs: []wire.EpochAck{{Epoch: m.Epoch, Upto: 100}}})
				return true
			}
			return false
		}
	}, func(w *testbed) {
		w.complete(10 * time.Second)
		if len(w.cloud.Hellos()) != 1 {
			t.Error("going back costs no session")
		}
	})
}

// An unclean epoch of which the cloud has more than the card: the open gap
// starts behind what the cloud holds.
func TestOpenEndBehindWhatTheCloudHolds(t *testing.T) {
	var sent func() []wire.Update
	var ends []uint32
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		sent = w.updates()
		w.store.Append(40)
		w.store.Reopen(false)
		w.cloud.OnHello = func(p *uplinktest.Peer, m *wire.Hello) bool {
			ends = m.Ends
			if h := w.cloud.Held(m.Epochs[0].Epoch); h.Upto == 0 {
				w.cloud.Take(&wire.Update{Lane: wire.LaneLive, Epoch: m.Epochs[0].Epoch, First: 1, N: 60})
			}
			p.Send(&wire.Welcome{Session: "s", Level: wire.LevelFsynced, Epochs: []wire.EpochAck{
				{Epoch: m.Epochs[0].Epoch, Upto: 60}, {Epoch: m.Epochs[1].Epoch},
			}})
			return true
		}
	}, func(w *testbed) {
		e := w.store.All()[0].ID
		defer func() {
			if m := sent()[0]; m.Epoch != e || m.First != 61 || m.N != 0 {
				t.Errorf("the end is sent as %+v", m)
			} else if !slices.Equal(ends, []uint32{m.End.Sum(), 0}) {
				t.Errorf("hello names the end %x and the growing epoch's; it is %x", ends, m.End.Sum())
			}
		}()
		w.until(10*time.Second, "ended", func() bool { return w.cloud.Held(e).Done })
		h := w.cloud.Held(e)
		if h.Upto != 60 || len(h.Ends) != 1 {
			t.Errorf("%+v", h)
		}
		if st := w.store.All()[0]; st.Acked != 60 || !st.Done {
			t.Errorf("the store knows %+v", st)
		}
	})
}

func TestOrderlyStop(t *testing.T) {
	inTestbed(t, func(w *testbed, o *uplink.Options) {
		w.cloud.OnUpdate = func(p *uplinktest.Peer, m *wire.Update) bool {
			time.Sleep(time.Second) // virtual: the ack takes its time
			return false
		}
	}, func(w *testbed) {
		w.online()
		w.store.Append(10)
		w.pass(100 * time.Millisecond)
		w.stop()
		<-w.ended
		if e := w.store.All()[0]; e.Acked != 10 {
			t.Errorf("acked %d", e.Acked)
		}
		if s := w.up.Status().State; s != uplink.Off {
			t.Errorf("state %s", s)
		}
		if len(w.table.List()) != 0 {
			t.Errorf("an orderly stop is no trouble: %+v", w.table.List())
		}
	})
}

// A stop while everything hangs takes no longer than the grace.
func TestStopWithAStalledLine(t *testing.T) {
	inTestbed(t, nil, func(w *testbed) {
		w.online()
		w.net.Stall()
		for range 100 {
			w.store.Append(250)
		}
		w.pass(time.Second)
		before := time.Now()
		w.stop()
		<-w.ended
		if took := time.Since(before); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
