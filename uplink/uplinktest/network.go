package uplinktest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Network joins dialers and listeners in memory. The zero Network works.
type Network struct {
	// Rate is how many bytes a second a connection carries in each direction;
	// 0: no limit. Set before Dial.
	Rate int
	// Far lets what is written take the time of SetDelay each way; without it
	// it is there at once. Set before Dial.
	Far bool

	mu        sync.Mutex
	delay     time.Duration
	relays    sync.WaitGroup
	listeners map[string]*listener
	conns     []*Conn // the dialers' ends, open or not
	dials     int
	hang      bool
	refused   map[string]bool
	budget    int // bytes until the next connection is cut; 0: never
}

// A listener is a net.Listener of a Network.
type listener struct {
	n      *Network
	addr   addr
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// Listen takes connections to an address ("cloud:443").
func (n *Network) Listen(at string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{n: n, addr: addr(at), accept: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[at] = l
	return l
}

// Dial connects to a listener; without one the connection is refused.
func (n *Network) Dial(ctx context.Context, network, at string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	l, hang, budget := n.listeners[at], n.hang, n.budget
	if n.refused[at] {
		l = nil
	}
	n.mu.Unlock()
	failed := func(err error) error { return &net.OpError{Op: "dial", Net: network, Addr: addr(at), Err: err} }
	if hang {
		<-ctx.Done()
		return nil, failed(ctx.Err())
	}
	if l == nil {
		return nil, failed(syscall.ECONNREFUSED)
	}
	near, far := pair(at, budget, n.Rate)
	if n.Far {
		mid, end := pair(at, 0, 0)
		n.relay(far, mid)
		n.relay(mid, far)
		far = end
	}
	select {
	case l.accept <- far:
	case <-l.closed:
		return nil, failed(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, failed(ctx.Err())
	}
	n.mu.Lock()
	n.conns = append(n.conns, near)
	n.mu.Unlock()
	return near, nil
}

// SetDelay says how long everything takes, one way, from now on.
func (n *Network) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// A part is what one read gave, on its way to the other end.
type part struct {
	data []byte
	due  time.Time
}

// relay passes on what comes from one connection to another, when its time has
// come.
func (n *Network) relay(from, to *Conn) {
	way := make(chan part, 1024)
	end := to.Cut // written before way is closed, read after
	n.relays.Go(func() {
		defer close(way)
		if err := n.readParts(from, way); errors.Is(err, io.EOF) {
			end = func() { _ = to.Close() }
		}
	})
	n.relays.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.due)) // virtual
			_, _ = to.Write(p.data)       // a peer that is gone is noticed by its reader
		}
		end()
	})
}

// readParts puts what comes from a connection on its way until reading fails,
// and gives why it does.
func (n *Network) readParts(from *Conn, way chan<- part) error {
	for {
		data := make([]byte, 4096)
		k, err := from.Read(data)
		if k > 0 {
			way <- part{data[:k], n.due()}
		}
		if err != nil {
			return err
		}
	}
}

// due is when what is sent now arrives.
func (n *Network) due() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.delay)
}

// Wait waits until nothing is on its way any more, after both ends of all
// connections have been closed.
func (n *Network) Wait() { n.relays.Wait() }

// Dials gives the number of tries to connect so far.
func (n *Network) Dials() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// Hang makes tries to connect wait for ever, as if a firewall swallowed them.
func (n *Network) Hang(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hang = on
}

// Refuse makes an address refuse connections, as if nobody listened there.
func (n *Network) Refuse(at string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refused == nil {
		n.refused = map[string]bool{}
	}
	n.refused[at] = on
}

// CutAfter resets every connection dialled from now on after it has carried
// this many bytes in one direction; 0 ends that.
func (n *Network) CutAfter(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.budget = bytes
}

// Cut resets all connections.
func (n *Network) Cut() { n.each((*Conn).Cut) }

// Stall keeps all open connections from delivering anything, either way and
// closes included, until Resume. A stall that never ends is a half-open peer.
func (n *Network) Stall() { n.each(func(c *Conn) { c.stall(true) }) }

// Resume ends Stall; what was held back arrives.
func (n *Network) Resume() { n.each(func(c *Conn) { c.stall(false) }) }

func (n *Network) each(do func(*Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		do(c)
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		if l.n.listeners[string(l.addr)] == l {
			delete(l.n.listeners, string(l.addr))
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }
