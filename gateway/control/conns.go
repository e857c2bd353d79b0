package control

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// A connTable holds the connections of all callers. When there is no room for
// one more, the one that has been silent for longest goes: who says nothing
// keeps nobody out. If all are being answered, the newcomer waits.
type connTable struct {
	max     int
	changed chan struct{} // filled when a place may have become free

	mu   sync.Mutex
	held map[*conn]time.Time // since when it is silent; zero: it is being answered
}

func newConnTable(max int) *connTable {
	return &connTable{max: max, changed: make(chan struct{}, 1), held: map[*conn]time.Time{}}
}

// A conn tells its table when it is closed.
type conn struct {
	net.Conn
	table *connTable
}

// Close closes the connection. It may be called twice.
func (c *conn) Close() error {
	c.table.forget(c)
	return c.Conn.Close()
}

// boundListener lets as many connections in as the table has room for.
type boundListener struct {
	*socket
	table  *connTable
	closed chan struct{}
	once   sync.Once
}

func (t *connTable) bound(s *socket) *boundListener {
	return &boundListener{socket: s, table: t, closed: make(chan struct{})}
}

// Accept gives the next connection for which there is room.
func (l *boundListener) Accept() (net.Conn, error) {
	raw, err := l.socket.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{raw, l.table}
	for !l.table.take(c) {
		select {
		case <-l.table.changed:
		case <-l.closed:
			_ = raw.Close()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

// Close ends a wait for room, too.
func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.socket.Close()
}

// take keeps c if there is room or can be made.
func (t *connTable) take(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.held) >= t.max {
		oldest := t.silentLocked()
		if oldest == nil {
			return false
		}
		delete(t.held, oldest)
		_ = oldest.Conn.Close() // its goroutine sees it
	}
	t.held[c] = time.Now()
	return true
}

// silentLocked gives the connection that has been silent for longest.
func (t *connTable) silentLocked() (oldest *conn) {
	for c, since := range t.held {
		if !since.IsZero() && (oldest == nil || since.Before(t.held[oldest])) {
			oldest = c
		}
	}
	return oldest
}

// note is told by the HTTP server what a connection does.
func (t *connTable) note(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, _ := c.(*conn)
	if _, held := t.held[known]; !held {
		return
	}
	switch state {
	case http.StateActive:
		t.held[known] = time.Time{}
	case http.StateIdle:
		t.held[known] = time.Now()
		t.tellLocked()
	}
}

func (t *connTable) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, c)
	t.tellLocked()
}

func (t *connTable) tellLocked() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// closeSilent closes what nobody is being answered on, so that a stop does not
// wait for it.
func (t *connTable) closeSilent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, since := range t.held {
		if !since.IsZero() {
			delete(t.held, c)
			_ = c.Conn.Close()
		}
	}
}
