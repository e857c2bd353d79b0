package cloud_test

import (
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestResume(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, w := s.open(e)
	if w.Level != wire.LevelFsynced || w.HB.PingS == 0 || w.Lim.Msg != wire.DefaultMessage || w.RetainS != 600 ||
		w.SpreadS == 0 || w.Time == 0 {
		t.Errorf("welcome %+v", w)
	}
	if len(w.Epochs) != 1 || w.Epochs[0] != (wire.EpochAck{Epoch: e}) {
		t.Errorf("a new epoch is welcomed as %+v", w.Epochs)
	}
	if a := p.acked(readings(t, e, 1, 10, 4)); a.Upto != 10 || a.Done {
		t.Errorf("ack %+v", a)
	}
	p.conn.Close()

	p, again := s.open(e)
	if again.Epochs[0].Upto != 10 || again.Gen <= w.Gen {
		t.Errorf("resumed with %+v, gen %d after %d", again.Epochs, again.Gen, w.Gen)
	}
	p.acked(readings(t, e, 11, 5, 5))
	p.conn.Close()

	s.stop()
	s.start(nil)
	_, after := s.open(e)
	if after.Epochs[0].Upto != 15 || after.Gen <= again.Gen {
		t.Errorf("after a restart: %+v, gen %d after %d", after.Epochs, after.Gen, again.Gen)
	}
	s.wantSeqs(e, 15)
}

func TestPing(t *testing.T) {
	s := newSite(t, nil)
	p, _ := s.open()
	p.send(&wire.Ping{T0: 42})
	if pong := recv[*wire.Pong](p); pong.T0 != 42 || pong.T1 == 0 || pong.T2 < pong.T1 {
		t.Errorf("pong %+v", pong)
	}
}

func TestCloseCodes(t *testing.T) {
	s := newSite(t, nil)
	for name, c := range map[string]struct {
		do   func(*peer)
		want int
	}{
		"update before hello": {func(p *peer) { p.send(closedEnd(gateway.NewEpochID(), 0)) }, 4400},
		"hello of another":    {func(p *peer) { p.send(&wire.Hello{GatewayID: "plant_8"}) }, 4403},
		"second hello": {func(p *peer) {
			p.send(&wire.Hello{GatewayID: "plant_7"})
			p.send(&wire.Hello{GatewayID: "plant_7"})
		}, 4400},
		"text frame":  {func(p *peer) { p.sendRaw(websocket.TextMessage, []byte(`{"type":"hello"}`)) }, 1003},
		"too big":     {func(p *peer) { p.sendRaw(websocket.BinaryMessage, make([]byte, wire.DefaultMessage+1)) }, 1009},
		"three times": {func(p *peer) { p.sendRaw(2, []byte("a")); p.sendRaw(2, []byte{0x80}); p.sendRaw(2, nil) }, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.dial()
			p.t = t
			c.do(p)
			if got := p.closed(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
	}
}
