// Package line is the network between a gateway and its cloud: a TCP proxy on
// the loopback that can be cut, half open, slow, or reset.
package line

import (
	"io"
	"net"
	"sync"
	"time"
)

// A State is how the line is.
type State string

// The states of a line.
const (
	Up       State = "up"
	Cut      State = "cut"       // refuses, and closes what was open
	HalfOpen State = "half_open" // accepts, and swallows
	Slow     State = "slow"      // 4 KiB/s and half a second late
	Reset    State = "reset"     // resets what is open, now and every second
)

// Faults are all states but Up.
var Faults = []State{Cut, HalfOpen, Slow, Reset}

// A Line is one proxy.
type Line struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	state State
	since time.Time
	conns map[*net.TCPConn]bool
}

// New listens on a free port of the loopback.
func New(to string) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Line{listener: l, to: to, state: Up, since: time.Now(), conns: map[*net.TCPConn]bool{}}
	go n.accept() // until Close
	return n, nil
}

// Port is where gateways connect.
func (n *Line) Port() int { return n.listener.Addr().(*net.TCPAddr).Port }

// Close ends the line.
func (n *Line) Close() {
	_ = n.listener.Close()
	n.Set(Cut)
}

// Set makes the line so.
func (n *Line) Set(s State) {
	n.mu.Lock()
	n.state, n.since = s, time.Now()
	n.mu.Unlock()
	if s == Cut || s == Reset {
		n.drop(s == Reset)
	}
}

// UpSince tells since when the line has been up; zero: it is not.
func (n *Line) UpSince() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.state != Up {
		return time.Time{}
	}
	return n.since
}

func (n *Line) now() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *Line) drop(reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(n.conns)
}

func (n *Line) accept() {
	for {
		in, err := n.listener.Accept()
		if err != nil {
			return
		}
		if n.now() == Cut {
			_ = in.Close()
			continue
		}
		go n.serve(in.(*net.TCPConn)) // until one side is closed
	}
}

func (n *Line) serve(in *net.TCPConn) {
	defer n.forget(in)
	n.remember(in)
	if n.now() == HalfOpen {
		n.swallow(in)
		return
	}
	out, err := net.DialTimeout("tcp", n.to, 5*time.Second)
	if err != nil {
		return
	}
	defer n.forget(out.(*net.TCPConn))
	n.remember(out.(*net.TCPConn))
	var both sync.WaitGroup
	both.Go(func() { n.pump(out, in) })
	both.Go(func() { n.pump(in, out) })
	both.Wait()
}

func (n *Line) remember(c *net.TCPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
}

func (n *Line) forget(c *net.TCPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	_ = c.Close()
}

// swallow reads and forgets until the line is another.
func (n *Line) swallow(in net.Conn) {
	buf := make([]byte, 4096)
	for n.now() == HalfOpen {
		_ = in.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := in.Read(buf); err != nil && !timeout(err) {
			return
		}
	}
}

// pump carries one direction until either end is closed.
func (n *Line) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		size := len(buf)
		if n.now() == Slow {
			size = 2048
		}
		k, err := from.Read(buf[:size])
		if err != nil || !n.carry(to, buf[:k]) {
			return
		}
	}
}

// carry writes what was read as the line's state has it. What was swallowed
// once is never delivered: the connection is of no more use.
func (n *Line) carry(to net.Conn, p []byte) bool {
	switch n.now() {
	case HalfOpen:
		for n.now() == HalfOpen {
			time.Sleep(100 * time.Millisecond)
		}
		return false
	case Slow:
		time.Sleep(500 * time.Millisecond)
	case Reset:
		n.drop(true)
		return false
	}
	_, err := to.Write(p)
	return err == nil
}

func timeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout() || err == io.ErrNoProgress
}
