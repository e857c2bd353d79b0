package local

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	maxConns   = 256                    // TCP connections at once, if the process may open so many files
	fewConns   = 16                     // … and at least, however few files it may open
	fairConns  = 8                      // what no address is blamed for
	heldBefore = 100 * time.Millisecond // a connection may say nothing whole so long before it has to go for another
	slowAfter  = 2 * time.Second        // a request that is under way for longer may have to go for another
)

// maxOpen is how many connections the local side may hold: a quarter of the
// files that the process may open (getrlimit(2)). The rest is for the store,
// the buses and the uplink.
func maxOpen() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return maxConns
	}
	return max(fewConns, int(min(limit.Cur/4, maxConns)))
}

// A connTable holds the TCP connections of all clients. When there is no room
// for one more, the least worth goes: a silent connection of the address that
// holds the most. So one host, or several, cannot keep others out.
type connTable struct {
	most int           // connections in all
	free chan struct{} // filled when a place may have become free

	mu      sync.Mutex
	held    map[*conn]struct{}
	of      map[netip.Prefix]int // connections by address
	evicted uint64               // that had to go for another, since the start
	refused uint64               // for which there was no room, since the start
	busiest netip.Prefix         // the address of the last that had to go or was refused
}

func newConnTable(most int) *connTable {
	return &connTable{most: most, free: make(chan struct{}, 1), held: map[*conn]struct{}{}, of: map[netip.Prefix]int{}}
}

// A conn is one TCP connection of a client.
type conn struct {
	net.Conn
	table *connTable
	from  netip.Prefix

	// Guarded by table.mu.
	state http.ConnState
	since time.Time // of the state
	known bool      // a request with the right token is under way
}

// eachOf is how many connections an address may hold. A proxy on this board
// speaks for many people, so it may hold more; a quarter is left to others.
func (t *connTable) eachOf(from netip.Prefix) int {
	if from.IsValid() && from.Addr().IsLoopback() {
		return t.most * 3 / 4
	}
	return max(1, t.most/4)
}

// place takes c in, if need be for another one, which is closed. If it is too
// early to send one away, wait says how long that is so. Without a place and
// without a wait, c is refused.
func (t *connTable) place(c *conn) (placed bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[c.from] >= t.eachOf(c.from)
	if own || len(t.held) >= t.most {
		var victim *conn
		if victim, wait = t.victimLocked(c.from, own); victim == nil {
			if wait == 0 {
				t.refused++
				t.busiest = c.from
			}
			return false, wait
		}
		t.evicted++
		t.busiest = victim.from
		t.removeLocked(victim)
		_ = victim.Conn.Close() // who is sent away hears it or not
	}
	c.state, c.since = http.StateNew, time.Now()
	t.held[c] = struct{}{}
	t.of[c.from]++
	return true, 0
}

// victimLocked chooses who has to go for a connection from an address: with
// own, one of the same address.
func (t *connTable) victimLocked(from netip.Prefix, own bool) (victim *conn, wait time.Duration) {
	now := time.Now()
	weight := max(t.of[from]+1, fairConns)
	for c := range t.held {
		if own && c.from != from || c.state == http.StateHijacked || c.known {
			continue // WebSockets have bounds of their own
		}
		if !own && max(t.of[c.from], fairConns) < weight {
			continue // who has few does not have to go for who has many
		}
		age := now.Sub(c.since)
		switch {
		case c.state != http.StateActive && age < heldBefore:
			if left := heldBefore - age; wait == 0 || left < wait {
				wait = left
			}
		case c.state == http.StateActive && age < slowAfter && (own || t.of[c.from] <= t.of[from]+1):
		case victim == nil || t.worseLocked(c, victim):
			victim = c
		}
	}
	return victim, wait
}

// worseLocked reports whether c has to go before d: who is silent, then who
// has many, then who has been so for longer.
func (t *connTable) worseLocked(c, d *conn) bool {
	if cs, ds := c.state != http.StateActive, d.state != http.StateActive; cs != ds {
		return cs
	}
	if cn, dn := max(t.of[c.from], fairConns), max(t.of[d.from], fairConns); cn != dn {
		return cn > dn
	}
	return c.since.Before(d.since)
}

// removeLocked forgets c; the second time it does nothing.
func (t *connTable) removeLocked(c *conn) {
	if _, held := t.held[c]; !held {
		return
	}
	delete(t.held, c)
	if t.of[c.from]--; t.of[c.from] == 0 {
		delete(t.of, c.from)
	}
	select {
	case t.free <- struct{}{}:
	default: // somebody knows already
	}
}

// note is told by the HTTP server what a connection does.
func (t *connTable) note(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.state, c.since = state, time.Now()
	if state != http.StateActive {
		c.known = false
	}
}

// signedIn notes that the request under way on c has the right token.
func (c *conn) signedIn() {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	c.known = c.state == http.StateActive
}

func isSignedIn(r *http.Request) bool {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		return false
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return c.known
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	c.table.removeLocked(c)
	return err
}

// closeAll ends whatever a client still holds open.
func (t *connTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.held {
		_ = c.Conn.Close()
	}
}

// connMetrics are for the metrics.
type connMetrics struct {
	held             int
	evicted, refused uint64
	busiest          netip.Prefix
}

func (t *connTable) metrics() connMetrics {
	t.mu.Lock()
	defer t.mu.Unlock()
	return connMetrics{held: len(t.held), evicted: t.evicted, refused: t.refused, busiest: t.busiest}
}

// A boundedListener gives the connections that have found a place in table.
type boundedListener struct {
	net.Listener
	table  *connTable
	closed chan struct{}
	once   sync.Once
}

func boundListener(l net.Listener, table *connTable) *boundedListener {
	return &boundedListener{Listener: l, table: table, closed: make(chan struct{})}
}

// Accept waits for a connection that has a place. Those that wait for their
// turn wait in the kernel.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, table: l.table, from: prefixOf(nc.RemoteAddr().String())}
		for {
			placed, wait := l.table.place(c)
			if placed {
				return c, nil
			}
			if wait == 0 || !l.pause(wait) {
				_ = nc.Close() // no room
				break
			}
		}
	}
}

// pause waits for a place, for wait at most; false: the listener is closed.
func (l *boundedListener) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-l.table.free:
	case <-timer.C:
	case <-l.closed:
		return false
	}
	return true
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type connKey struct{}

// withConn lets a request find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// signIn notes that a request has the right token: those who are signed in
// do not have to go for others.
func signIn(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.signedIn()
	}
}

const (
	conditionCrowd = "local_crowded" // connections had to go for others
	crowdAt        = 50              // that had to go or found no room, between two looks
)

// lookAtCrowd tells when more connections come than there is room for.
func (s *Server) lookAtCrowd() {
	f := s.conns.metrics()
	came := f.evicted + f.refused - s.crowd
	s.crowd += came
	if came >= crowdAt {
		s.o.Conditions.Raise(conditionCrowd, "", health.Warning, fmt.Sprintf(
			"More connections come to the page on site than it takes (%d at once); silent ones are closed, most of them from %s. "+
				"See what runs there. Readings are taken and sent all the same.",
			s.conns.most, addressOf(f.busiest)))
	}
	if came == 0 {
		s.o.Conditions.Clear(conditionCrowd, "", "There is room again for connections to the page on site.")
	}
}
