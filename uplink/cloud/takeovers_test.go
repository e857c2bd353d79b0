package cloud

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// twoServers makes two servers of one cloud, and gives what connects a board to
// one of them.
func twoServers(t *testing.T) (connect func(server int, boot byte) *websocket.Conn) {
	t.Helper()
	l, pubsub := &cloudtest.Log{}, &cloudtest.PubSub{}
	var dials []func() *websocket.Conn
	for range 2 {
		s, dial := piped(t, Options{Log: l, PubSub: pubsub})
		var running sync.WaitGroup
		running.Go(func() { s.hearTakeovers(s.ctx) })
		t.Cleanup(func() { s.Close(); running.Wait() })
		dials = append(dials, dial)
	}
	return func(server int, boot byte) *websocket.Conn {
		conn := dials[server]()
		say(t, conn, &wire.Hello{GatewayID: "g", InstallID: [16]byte{7}, BootID: gateway.BootID{boot}})
		return conn
	}
}

// TestGatewayMovesToAnotherServer: the session that it leaves behind ends at
// once, though nothing is appended in it.
func TestGatewayMovesToAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := twoServers(t)
		first := connect(0, 1)
		hear[*wire.Welcome](t, first)
		began := time.Now()
		second := connect(1, 1)
		hear[*wire.Welcome](t, second)
		if code, _ := closeCode(t, first); code != wire.CloseSuperseded || time.Since(began) > 0 {
			t.Errorf("closed with %d after %s", code, time.Since(began))
		}
		say(t, second, lost(wire.LaneLive, gateway.NewEpochID(), 1, 1))
		hear[*wire.Ack](t, second)
	})
}

// TestTwoBoardsAtTwoServers is TestTwoBoardsOfOneIdentity with a server for
// each.
func TestTwoBoardsAtTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := twoServers(t)
		last := connect(0, 1)
		hear[*wire.Welcome](t, last)
		for i := 1; ; i++ {
			if i > 2*maxTakeovers+2 {
				t.Fatalf("after %d takeovers nobody has noticed", i)
			}
			next := connect(i%2, byte(1+i%2))
			hear[*wire.Welcome](t, next)
			code, _ := closeCode(t, last)
			if code == wire.CloseConflict {
				if code, _ := closeCode(t, next); code != wire.CloseConflict {
					t.Errorf("the other board was closed with %d", code)
				}
				return
			}
			if code != wire.CloseSuperseded {
				t.Errorf("takeover %d: the older was closed with %d", i, code)
			}
			last = next
			time.Sleep(40 * time.Second)
			say(t, last, &wire.Ping{})
			hear[*wire.Pong](t, last)
		}
	})
}

// TestConflictElsewhereEndsOnlyItsOwn: that two boards fought at other servers
// ends the session that it names, not one that opened since.
func TestConflictElsewhereEndsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s := connect(t, &cloudtest.Log{})
		say(t, conn, &wire.Hello{GatewayID: "g"})
		w := hear[*wire.Welcome](t, conn)
		for _, gen := range []uint64{w.Gen - 1, w.Gen + 1} {
			s.supersede("g", takeoverNotice{Gen: gen, Conflict: true})
		}
		s.supersede("h", takeoverNotice{Gen: w.Gen, Conflict: true})
		say(t, conn, &wire.Ping{})
		hear[*wire.Pong](t, conn)
		s.supersede("g", takeoverNotice{Gen: w.Gen, Conflict: true})
		if code, _ := closeCode(t, conn); code != wire.CloseConflict {
			t.Errorf("closed with %d", code)
		}
	})
}
