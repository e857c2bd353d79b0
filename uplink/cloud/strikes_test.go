package cloud

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestStrikesAreForgotten: nonsense now and then does not end a session, three
// times within a minute does.
func TestStrikesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := connect(t, &cloudtest.Log{})
		say(t, conn, &wire.Hello{GatewayID: "g"})
		hear[*wire.Welcome](t, conn)
		nonsense := func() {
			if err := conn.WriteMessage(websocket.BinaryMessage, []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
		for range 6 {
			nonsense()
			if e := hear[*wire.Error](t, conn); e.Code != "malformed" {
				t.Errorf("%+v", e)
			}
			time.Sleep(strikesWithin / 2)
			say(t, conn, &wire.Ping{})
			hear[*wire.Pong](t, conn)
		}
		time.Sleep(strikesWithin / 4)
		nonsense()
		hear[*wire.Error](t, conn)
		nonsense()
		if code, _ := closeCode(t, conn); code != wire.CloseUndecodable {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestLogThatLostReadings: it is told of every epoch of which a gateway holds
// more for acknowledged than the log has, and of no other.
func TestLogThatLostReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dial := piped(t, Options{Log: &cloudtest.Log{}})
		var told bytes.Buffer
		s.opt.Logger = slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelError}))
		lostOne, whole := gateway.NewEpochID(), gateway.NewEpochID()
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g"})
		hear[*wire.Welcome](t, conn)
		say(t, conn, lost(wire.LaneLive, whole, 1, 7))
		hear[*wire.Ack](t, conn)
		conn = dial()
		say(t, conn, &wire.Hello{GatewayID: "g", Epochs: []wire.HelloEpoch{
			{Epoch: lostOne, Oldest: 1, Last: 9, Acked: 9}, {Epoch: whole, Oldest: 1, Last: 9, Acked: 7},
			{Epoch: gateway.NewEpochID(), Oldest: 1, Last: 9},
		}})
		hear[*wire.Welcome](t, conn)
		if text := told.String(); strings.Count(text, "the log has lost readings") != 1 || !strings.Contains(text, lostOne.String()) {
			t.Errorf("told: %s", text)
		}
	})
}

// TestThoseWhoWaitLongTakeNoTurn: who is sent away for a while by chance does
// not make those that come later wait longer.
func TestThoseWhoWaitLongTakeNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Admission{PerSecond: slack}.orDefaults()) // a turn a second
		for range 100 {
			if d := g.comeBack(3 * time.Second); d < time.Second || d >= 4*time.Second {
				t.Fatalf("come back after %v", d)
			}
		}
		time.Sleep(5 * time.Second)
		if d := g.comeBack(3 * time.Second); d != time.Second {
			t.Errorf("when all have had their turn: %v", d)
		}
	})
}
