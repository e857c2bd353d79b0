package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// A testConn is a connection of an address that counts how often it was closed.
type testConn struct {
	net.Conn
	closed int
}

func (c *testConn) Close() error {
	c.closed++
	return nil
}

// come brings a connection of from to the table.
func come(table *connTable, from string) (c *conn, placed bool, wait time.Duration) {
	c = &conn{Conn: &testConn{}, table: table, from: prefixOf(from)}
	placed, wait = table.place(c)
	return c, placed, wait
}

func (c *conn) closedTimes() int { return c.Conn.(*testConn).closed }

// An address with its full share gives up its own oldest silent connection for
// a new one, and not too early; it takes nothing from others.
func TestAddressWithItsShareGivesUpItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for from, share := range map[string]int{"192.0.2.1": 16, "2001:db8::1": 16, "127.0.0.1": 48, "::1": 48} {
			table := newConnTable(64)
			other, _, _ := come(table, "192.0.2.200")
			var own []*conn
			for range share {
				c, placed, _ := come(table, from)
				if !placed {
					t.Fatalf("%s: only %d connections were placed", from, len(own))
				}
				own = append(own, c)
			}
			if _, placed, wait := come(table, from); placed || wait != heldBefore {
				t.Errorf("%s: placed %v, wait %v; want to wait for %v", from, placed, wait, heldBefore)
			}
			time.Sleep(heldBefore) // virtual
			table.note(own[0], http.StateActive)
			if _, placed, _ := come(table, from); !placed || other.closedTimes() != 0 || own[0].closedTimes() != 0 {
				t.Errorf("%s: placed %v; the other address's was closed %d times, the busy one %d times",
					from, placed, other.closedTimes(), own[0].closedTimes())
			}
			_ = own[0].Close()
			_ = own[0].Close() // frees its place once
			if f := table.metrics(); f.held != share || f.evicted != 1 {
				t.Errorf("%s: %+v, want %d held and one closed for another", from, f, share)
			}
		}
	})
}

// When all places are taken by several addresses, who has most gives up: a
// silent one, else the request that is under way for longest.
func TestFullTableTakesFromWhoHasMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []http.ConnState{http.StateNew, http.StateIdle, http.StateActive} {
			table := newConnTable(64)
			mine, _, _ := come(table, "192.0.2.200")
			table.note(mine, state)
			for i := range 63 {
				c, placed, _ := come(table, fmt.Sprintf("192.0.2.%d", 1+i/16))
				if !placed {
					t.Fatalf("connection %d was not placed", i)
				}
				table.note(c, state)
			}
			time.Sleep(heldBefore) // virtual
			for i := range 4 {
				if _, placed, _ := come(table, fmt.Sprintf("198.51.100.%d", i)); !placed {
					t.Errorf("state %v: newcomer %d was not placed", state, i)
				}
			}
			if mine.closedTimes() != 0 || table.of[mine.from] != 1 {
				t.Errorf("state %v: the connection of an address that has but one was closed", state)
			}
		}
	})
}

// Requests with the right token do not have to go, nor do WebSockets; those
// without, when they are slow. What cannot be placed is refused at once.
func TestSignedInRequestsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newConnTable(64)
		var all []*conn
		for range 16 {
			c, _, _ := come(table, "192.0.2.1")
			table.note(c, http.StateActive)
			all = append(all, c)
		}
		if _, placed, wait := come(table, "192.0.2.1"); placed || wait != 0 {
			t.Errorf("while all are served: placed %v, wait %v; want to be refused", placed, wait)
		}
		for _, c := range all[1:] {
			c.signedIn()
		}
		table.note(all[1], http.StateHijacked)
		time.Sleep(slowAfter) // virtual
		if _, placed, _ := come(table, "192.0.2.1"); !placed || all[0].closedTimes() != 1 {
			t.Error("a slow request that is not signed in kept its place")
		}
		for i, c := range all[1:] {
			if c.closedTimes() != 0 {
				t.Errorf("connection %d, signed in, was closed", i+1)
			}
		}
	})
}

func TestTableForgetsAddresses(t *testing.T) {
	table := newConnTable(64)
	for i := range 1000 {
		c, placed, _ := come(table, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
		if !placed {
			t.Fatalf("connection %d was not placed", i)
		}
		_ = c.Close()
	}
	if len(table.of) != 0 || len(table.held) != 0 {
		t.Errorf("%d addresses and %d connections are remembered", len(table.of), len(table.held))
	}
}

// hold keeps n connections open from an address, each opened anew when it is
// dropped, and says on each what say gives. It ends with the test.
func hold(t *testing.T, from, addr string, n int, say string) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	begun := make(chan struct{}, n)
	for range n {
		wg.Go(func() {
			for told := false; ctx.Err() == nil; {
				c, err := d.DialContext(ctx, "tcp", addr)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = io.WriteString(c, say)
				if !told {
					begun <- struct{}{}
					told = true
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(c, 1)) // until it is dropped
				stop()
				_ = c.Close()
			}
		})
	}
	for range n {
		<-begun
	}
}

// startPatient runs a server that waits an hour for whoever is slow, so that
// no time limit but the bounds alone make room.
func startPatient(t *testing.T, o Options) (*Server, string) {
	s := New(o)
	s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout = time.Hour, time.Hour, time.Hour, time.Hour
	serve(t, s)
	return s, s.Addr()
}

// However hosts of the network hold connections open, others get the page,
// the API and live readings, from another address and from the same.
func TestConnectionLimitPerAddress(t *testing.T) {
	for name, say := range map[string]string{
		"silent":       "",
		"slow header":  "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
		"slow body":    "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
		"kept alive":   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"slow readers": strings.Repeat("GET /assets/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n", 60),
		"silent WebSocket": "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := options()
			o.Conditions = health.New(o.Log)
			s, addr := startPatient(t, o)
			publish(o.Hub, 1, 61.5)
			for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
				hold(t, from, addr, 150, say)
			}
			for _, path := range []string{"/", "/assets/app.js", "/api/v1/status", "/healthz"} {
				if status := getFrom(t, "127.0.0.4", addr, path); status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
			}
			conn, status := dialFrom(t, "127.0.0.4", "ws://"+addr+"/ws")
			if status != http.StatusSwitchingProtocols {
				t.Fatalf("WebSocket: %d", status)
			}
			next(t, conn, "update")
			if f := s.conns.metrics(); f.held > maxConns {
				t.Errorf("%d connections are held", f.held)
			}
		})
	}
}

// The same host, or everybody behind one proxy, is served beside a neighbour
// who holds connections open and never ends a request, and the reason is told.
func TestSlowClientsShareAddress(t *testing.T) {
	o, _ := options()
	o.Conditions = health.New(o.Log)
	_, addr := startPatient(t, o)
	hold(t, "127.0.0.1", addr, 800, "GET / HTTP/1.1\r\n")
	for range 5 {
		if status := getFrom(t, "127.0.0.1", addr, "/healthz"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	until(t, o.Conditions, func(list []health.Condition) bool { return len(list) == 1 })
	if c := o.Conditions.List()[0]; c.Code != conditionCrowd || !strings.Contains(c.Sentence, "127.0.0.1") {
		t.Errorf("condition %+v", c)
	}
}

// getFrom gets a path over a new connection from an address of this machine.
func getFrom(t *testing.T, from, addr, path string) int {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // the status says enough
	return resp.StatusCode
}
