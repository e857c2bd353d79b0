package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

var (
	lineSeed = flag.Uint64("lineseed", 0, "seed of TestOverBadLines; 0: another one each time")
	resets   = flag.Int("resets", 2, "how often TestOverBadLines resets the line inside a frame")
)

// segment is how much a bad line carries at a time.
const segment = 200

// A badLine is a way to the cloud as bad as it is told to be: swallowing all,
// or reset after so many bytes. What loses packets is a link.
type badLine struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	budget  int           // bytes that the next connections carry; 0: no end
	stalled chan struct{} // closed when the stall ends; nil: there is none
	broken  int           // connections reset by their budget, inside of a frame
	held    int           // segments that a stall kept waiting
	conns   []*net.TCPConn
}

func newBadLine(t *testing.T, to string, seed uint64) *badLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &badLine{listener: l, to: to, random: rand.New(rand.NewPCG(seed, 1))}
	b.running.Go(b.accept)
	t.Cleanup(func() { _ = l.Close(); b.stall(false); b.cut(); b.running.Wait() })
	return b
}

func (b *badLine) accept() {
	for {
		in, err := b.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", b.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		near, far := in.(*net.TCPConn), out.(*net.TCPConn)
		b.mu.Lock()
		b.conns = append(b.conns, near, far)
		left := &budget{bytes: b.budget, ends: b.budget > 0}
		b.mu.Unlock()
		b.carry(near, far, left)
		b.carry(far, near, left)
	}
}

// A budget is what both directions of a connection may carry together.
type budget struct {
	mu    sync.Mutex
	bytes int
	ends  bool
}

// take gives how many of n bytes may pass.
func (l *budget) take(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ends {
		return n
	}
	n = min(n, l.bytes)
	l.bytes -= n
	return n
}

// carry passes on what comes, in order, a segment at a time.
func (b *badLine) carry(from, to *net.TCPConn, left *budget) {
	way := make(chan []byte, 1024)
	b.running.Go(func() {
		defer close(way)
		for {
			p := make([]byte, segment)
			n, err := from.Read(p)
			if n > 0 {
				way <- p[:n]
			}
			if err != nil {
				return
			}
		}
	})
	b.running.Go(func() {
		var at records
		defer reset(from, to) // an end is passed on as a reset, which no peer may take for an orderly one
		for p := range way {
			b.wait()
			n := at.pass(p, left.take(len(p)))
			if _, err := to.Write(p[:n]); err != nil || n < len(p) {
				b.set(func(b *badLine) { b.broken += min(1, len(p)-n) })
				reset(from, to)
				for range way { // until the reader ends
				}
				return
			}
		}
	})
}

// records follows the records of TLS in a stream (RFC 8446, 5.1).
type records struct {
	head []byte // of the next one, as far as it came
	left int    // bytes of the one that is under way
	data bool   // that one is no handshake in the clear
}

// pass gives how many bytes of p may pass if n are to, and the last of them
// must not end a record: what is cut there was in the middle of a frame.
func (r *records) pass(p []byte, n int) int {
	for i, c := range p {
		if i >= n && r.left > 0 && r.data {
			return i
		}
		r.follow(c)
	}
	return len(p)
}

func (r *records) follow(c byte) {
	if r.left > 0 {
		r.left--
		return
	}
	const header, applicationData = 5, 23
	if r.head = append(r.head, c); len(r.head) == header {
		r.data, r.left, r.head = r.head[0] == applicationData, int(r.head[3])<<8|int(r.head[4]), r.head[:0]
	}
}

// wait lets nothing pass during a stall.
func (b *badLine) wait() {
	b.mu.Lock()
	over := b.stalled
	if over != nil {
		b.held++
	}
	b.mu.Unlock()
	if over != nil {
		<-over
	}
}

// set changes what the line is like.
func (b *badLine) set(change func(*badLine)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *badLine) stall(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stalled != nil {
		close(b.stalled)
		b.stalled = nil
	}
	if on {
		b.stalled = make(chan struct{})
	}
}

// cut resets all connections and gives how many those were.
func (b *badLine) cut() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.conns) / 2
	reset(b.conns...)
	b.conns = nil
	return n
}

func reset(conns ...*net.TCPConn) {
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// Promises 1 and 3 over real sockets, with the real programs: whatever a line
// does, every reading arrives, and once. What takes a peer that is silent for
// minutes is proved in virtual time (uplink, TestRandomTroubleLosesAndDoublesNothing
// and uplink/cloud/model).
func TestOverBadLines(t *testing.T) {
	t.Parallel()
	seed := *lineSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-lineseed)", seed)
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	cloud.Start(t)
	line := newBadLine(t, cloud.Addr, seed)
	st.dialThrough(t, cloud.Addr, line.listener.Addr().String())
	st.start(t)
	screen := e2e.Watch(t, addr)
	screen.Await(t, "online", 0, isOnline)

	arrives := func(t *testing.T) {
		from := screen.Count()
		screen.Await(t, "100 more readings", from, func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= 100 })
		seen, _, _ := screen.Snapshot()
		held, took := cloud.AwaitAll(t, seen)
		for _, fault := range held.Faults() {
			t.Error(fault)
		}
		t.Logf("%d readings, all there once, %v after the last", len(seen), took.Round(time.Millisecond))
	}
	whole, pass := t, func(d time.Duration) { <-time.After(d) }
	until := func(t *testing.T, what string, ok func() bool) {
		for late := time.Now().Add(e2e.Patience); !ok(); pass(20 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("never seen: %s; %v", what, line)
			}
		}
	}
	stalls := func(t *testing.T) {
		before := line.count(func(b *badLine) int { return b.held })
		line.stall(true)
		until(t, "a segment that is kept", func() bool { return line.count(func(b *badLine) int { return b.held }) > before })
	}
	for _, c := range []struct {
		name  string
		worse func(t *testing.T)
	}{
		{"reset in a frame", func(t *testing.T) {
			for n := 1; n <= *resets; n++ {
				line.set(func(b *badLine) { b.budget = 6000 + b.random.IntN(12_000) })
				if n == 1 {
					line.cut()
				}
				until(t, fmt.Sprintf("reset %d", n), func() bool { return line.count(func(b *badLine) int { return b.broken }) >= n })
			}
			line.set(func(b *badLine) { b.budget = 0 })
			st.end(t, syscall.SIGTERM) // else its back-off, which has grown, is what is waited for
			st.start(whole)            // beyond this part
		}},
		{"cut", func(t *testing.T) {
			cuts := 0
			for range 3 {
				cuts += line.cut()
				pass(700 * time.Millisecond)
			}
			if cuts == 0 {
				t.Error("there was nothing to cut")
			}
		}},
		{"stall and resume", func(t *testing.T) {
			stalls(t)
			pass(3 * time.Second)
			line.stall(false)
		}},
		{"stall and cut", func(t *testing.T) {
			stalls(t)
			pass(time.Second)
			if line.cut() == 0 {
				t.Error("there was nothing to cut")
			}
			line.stall(false)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.worse(t)
			arrives(t)
		})
	}
	st.end(t, syscall.SIGTERM)
	t.Log(line)
}

func (b *badLine) count(what func(*badLine) int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return what(b)
}

func (b *badLine) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%d connections reset inside of a frame, %d segments kept waiting", b.broken, b.held)
}
