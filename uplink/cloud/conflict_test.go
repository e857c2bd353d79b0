package cloud

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestTwoBoardsOfOneIdentity lets two boards take over from each other as
// the close codes tell them to, until both are told that they are two.
func TestTwoBoardsOfOneIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, dial := piped(t, Options{Log: &cloudtest.Log{}})
		connect := func(boot byte) *websocket.Conn {
			conn := dial()
			say(t, conn, &wire.Hello{GatewayID: "g", InstallID: [16]byte{7}, BootID: gateway.BootID{boot}})
			return conn
		}
		last := connect(1)
		hear[*wire.Welcome](t, last)
		for i := range maxTakeovers {
			next := connect(byte(2 - i%2))
			hear[*wire.Welcome](t, next)
			if code, _ := closeCode(t, last); code != wire.CloseSuperseded {
				t.Errorf("take-over %d: the older was closed with %d", i+1, code)
			}
			last = next
			time.Sleep(45 * time.Second)
			say(t, last, &wire.Ping{})
			hear[*wire.Pong](t, last)
		}
		next := connect(1)
		for _, conn := range []*websocket.Conn{last, next} {
			if code, _ := closeCode(t, conn); code != wire.CloseConflict {
				t.Errorf("closed with %d", code)
			}
		}
		time.Sleep(5 * time.Minute)
		hear[*wire.Welcome](t, connect(1)) // alone it is served
	})
}

// TestTakeoversOfOneBoard: neither reboots, nor new connections of one boot,
// nor take-overs that are long apart are a conflict.
func TestTakeoversOfOneBoard(t *testing.T) {
	at := time.Now()
	run := func(n byte) board { return board{boot: gateway.BootID{n}} }
	l := &gatewayEntry{}
	for i := range byte(100) {
		at = at.Add(time.Second)
		if l.noteTakeover(takeover{at, run(i), run(i + 1)}) {
			t.Fatal("a board that reboots is taken for two")
		}
		if l.noteTakeover(takeover{at, run(i), run(i)}) {
			t.Fatal("a board that connects anew is taken for two")
		}
	}
	for i := range byte(20) {
		at = at.Add(takeoversWithin / maxTakeovers)
		if l.noteTakeover(takeover{at, run(i % 2), run((i + 1) % 2)}) && i < maxTakeovers {
			t.Errorf("take-over %d is taken for a conflict", i)
		}
	}
	l = &gatewayEntry{}
	for i := range byte(20) {
		at = at.Add(takeoversWithin/maxTakeovers + time.Second)
		if l.noteTakeover(takeover{at, run(i % 2), run((i + 1) % 2)}) {
			t.Errorf("%d take-overs that are long apart are taken for a conflict", i)
		}
	}
	if n := len(l.takeovers); n > 4*maxTakeovers+1 {
		t.Errorf("%d take-overs are remembered", n)
	}
}
