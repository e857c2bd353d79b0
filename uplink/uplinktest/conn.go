package uplinktest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Conn is one end of a connection in memory, with buffers like a kernel's:
// a write succeeds long before the other side has read it.
type Conn struct {
	in, out     *stream
	local, peer addr
	rd, wd      deadline
	rate        int // bytes a second that arrive; 0: no limit
}

// packet is how much of a slow line arrives at a time.
const packet = 1460

// streamSize is how much one direction buffers.
const streamSize = 64 << 10

// A stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	buf     []byte
	eof     bool          // the writer closed
	gone    bool          // the reader closed
	err     error         // cut
	stalled bool          // nothing is delivered
	budget  int           // bytes until the cut; 0: none
	size    int           // how much it buffers
	changed chan struct{} // closed and replaced at every change
}

// slowSize is what a slow line buffers: what is in flight, and what
// TCP_NOTSENT_LOWAT lets wait behind it.
const slowSize = 16 << 10

func pair(at string, budget, rate int) (near, far *Conn) {
	size := streamSize
	if rate > 0 {
		size = slowSize
	}
	up := &stream{budget: budget, size: size, changed: make(chan struct{})}
	down := &stream{budget: budget, size: size, changed: make(chan struct{})}
	near = &Conn{in: down, out: up, local: "gateway:1", peer: addr(at), rate: rate}
	far = &Conn{in: up, out: down, local: addr(at), peer: "gateway:1", rate: rate}
	return near, far
}

// Cut resets the connection for both ends.
func (c *Conn) Cut() {
	for _, s := range []*stream{c.in, c.out} {
		s.change(func() { s.err = syscall.ECONNRESET })
	}
}

func (c *Conn) stall(on bool) {
	for _, s := range []*stream{c.in, c.out} {
		s.change(func() { s.stalled = on })
	}
}

func (s *stream) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// step does what can be done now; if nothing can, it gives what to wait for.
func (s *stream) step(do func() (int, error)) (n int, err error, wait chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err = do()
	if n == 0 && err == nil {
		return 0, nil, s.changed
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return n, err, nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.rate > 0 {
		p = p[:min(len(p), packet)]
	}
	n, err := c.read(p)
	if c.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate)) // virtual
	}
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	s := c.in
	return c.rd.retry(func() (int, error, chan struct{}) {
		return s.step(func() (int, error) {
			switch {
			case s.gone:
				return 0, net.ErrClosed
			case s.err != nil:
				return 0, s.err
			case s.stalled:
				return 0, nil
			case len(s.buf) > 0:
				n := copy(p, s.buf)
				s.buf = s.buf[n:]
				return n, nil
			case s.eof:
				return 0, io.EOF
			}
			return 0, nil
		})
	})
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := c.writeSome(p[done:])
		done += n
		if errors.Is(err, errSpent) {
			c.Cut()
			err = syscall.ECONNRESET
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// errSpent says that the budget of a connection is used up.
var errSpent = errors.New("budget spent")

func (c *Conn) writeSome(p []byte) (int, error) {
	s := c.out
	return c.wd.retry(func() (int, error, chan struct{}) {
		return s.step(func() (int, error) {
			switch {
			case s.err != nil:
				return 0, s.err
			case s.eof:
				return 0, net.ErrClosed
			case s.gone && !s.stalled:
				return 0, syscall.EPIPE
			}
			n := min(len(p), s.size-len(s.buf))
			if s.budget > 0 && n >= s.budget {
				return s.budget, errSpent
			}
			s.budget = max(0, s.budget-n)
			s.buf = append(s.buf, p[:n]...)
			return n, nil
		})
	})
}

// Close implements net.Conn. The other side reads what was written, then EOF,
// unless the connection is stalled: then it learns nothing.
func (c *Conn) Close() error {
	c.out.change(func() { c.out.eof = true })
	c.in.change(func() { c.in.gone = true })
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wd.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { c.rd.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.wd.set(t); return nil }

// A deadline ends waiting, also waiting that has begun before it was set.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
	}
	d.changed = make(chan struct{})
}

func (d *deadline) get() (time.Time, chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}

// retry steps until something happens or the deadline passes.
func (d *deadline) retry(step func() (int, error, chan struct{})) (int, error) {
	for {
		at, moved := d.get()
		if !at.IsZero() && !time.Now().Before(at) {
			return 0, os.ErrDeadlineExceeded
		}
		n, err, wait := step()
		if wait == nil {
			return n, err
		}
		var timer *time.Timer
		var expired <-chan time.Time
		if !at.IsZero() {
			timer = time.NewTimer(time.Until(at))
			expired = timer.C
		}
		select {
		case <-wait:
		case <-moved:
		case <-expired:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}
