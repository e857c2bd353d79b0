package local

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// dialFrom opens a WebSocket from an address of this machine, with headers as
// pairs; the status is that of a refusal.
func dialFrom(t *testing.T, from, url string, headers ...string) (*websocket.Conn, int) {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	d := websocket.Dialer{NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
	conn, resp, err := d.DialContext(t.Context(), url, h)
	switch {
	case err == nil:
		t.Cleanup(func() { _ = conn.Close() })
		return conn, http.StatusSwitchingProtocols
	case resp == nil:
		t.Fatal(err)
	}
	if resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d without Retry-After", resp.StatusCode)
	}
	return nil, resp.StatusCode
}

// One address holds no more WebSockets than its share, and others have room.
func TestWebSocketLimitPerAddress(t *testing.T) {
	o, _ := options()
	s, addr := start(t, o)
	for i := range maxOfProxy {
		if _, status := dialFrom(t, "127.0.0.2", "ws://"+addr+"/ws"); status != http.StatusSwitchingProtocols {
			t.Fatalf("client %d: %d", i+1, status)
		}
	}
	if _, status := dialFrom(t, "127.0.0.2", "ws://"+addr+"/ws"); status != http.StatusServiceUnavailable {
		t.Errorf("client %d of one address: %d, want 503", maxOfProxy+1, status)
	}
	conn, status := dialFrom(t, "127.0.0.3", "ws://"+addr+"/ws")
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("client of another address: %d", status)
	}
	read(t, conn)
	if got := s.clientCount(); got != maxOfProxy+1 {
		t.Errorf("%d clients are counted, want %d", got, maxOfProxy+1)
	}
}

// People behind a proxy on the board are told apart by what it says of them.
func TestWebSocketLimitBehindProxy(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	for i := range maxOfAddress + 1 {
		want := http.StatusSwitchingProtocols
		if i == maxOfAddress {
			want = http.StatusServiceUnavailable
		}
		if _, status := dialFrom(t, "127.0.0.1", "ws://"+addr+"/ws", "X-Forwarded-For", "192.0.2.1"); status != want {
			t.Fatalf("client %d: %d, want %d", i+1, status, want)
		}
	}
	if _, status := dialFrom(t, "127.0.0.1", "ws://"+addr+"/ws", "X-Forwarded-For", "192.0.2.2"); status != http.StatusSwitchingProtocols {
		t.Errorf("another person: %d", status)
	}
}

// newTestClient is a client that nobody serves.
func newTestClient(from string, known bool) *client {
	p := prefixOf(from)
	c := &client{from: p, peer: p, known: known, since: time.Now(), out: make(chan struct{})}
	c.proven.Store(true)
	return c
}

func (c *client) isOut() bool {
	select {
	case <-c.out:
		return true
	default:
		return false
	}
}

// When all places are taken, who has many gives one up for who has none, but
// never one who is signed in for one who is not.
func TestWhoHasManyWebSocketsGivesOneUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, known := range []bool{false, true} {
			o, _ := options()
			s := newServer(o)
			var first *client
			for i := range maxClients {
				c := newTestClient(fmt.Sprintf("192.0.2.%d", 1+i/maxOfAddress), known)
				if !s.admit(c) {
					t.Fatalf("client %d is refused", i)
				}
				if first == nil {
					first = c
				}
				time.Sleep(time.Second) // virtual
			}
			if got := s.admit(newTestClient("192.0.2.100", false)); got == known || first.isOut() == known {
				t.Errorf("newcomer who is not signed in: admitted %v, the oldest had to go %v; the others signed in %v", got, first.isOut(), known)
			}
			if !s.admit(newTestClient("192.0.2.101", true)) {
				t.Error("newcomer who is signed in was not admitted")
			}
			if got := len(s.clients); got != maxClients {
				t.Errorf("%d clients, want %d", got, maxClients)
			}
		}
	})
}

// When each address has one, nobody has to go, but those who are silent and,
// for who is signed in, those who are not.
func TestWhoHasOneWebSocketKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := options()
		s := newServer(o)
		for i := range maxClients {
			if !s.admit(newTestClient(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String(), i%2 == 0)) {
				t.Fatalf("client %d is refused", i)
			}
		}
		if s.admit(newTestClient("192.0.2.1", false)) {
			t.Error("a newcomer took the place of somebody who had but one")
		}
		silent := newTestClient("192.0.2.2", true)
		silent.proven.Store(false)
		if !s.admit(silent) {
			t.Error("who is signed in did not get the place of somebody who is not")
		}
		time.Sleep(provenWithin) // virtual
		if !s.admit(newTestClient("192.0.2.3", false)) || !silent.isOut() {
			t.Error("who never answered kept the place")
		}
	})
}
