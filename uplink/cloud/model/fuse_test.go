package model

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"

	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/storetest"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

// Power also fails in the middle of a step: a fuse is lit before it, and burns
// down with every durable step of a store, every append of a server or every
// record of the log. What is left is mended after the step.

// How often a fuse burnt down.
const (
	cutInStep    = "power cuts amid a step of the store"
	killedInStep = "servers killed amid an append"
	crashedIn    = "crashes of the log amid an append"
)

// A card takes the durable steps of a board's store. When its fuse has burnt
// down, what counts is what a power cut in that step leaves.
type card struct {
	rec storetest.Recorder
	net *uplinktest.Network

	mu   sync.Mutex
	r    *rand.Rand
	left int           // steps until power fails; 0: it does not
	fell storetest.Dir // what is on the card then
}

func newCard(w *testbed) *card {
	c := &card{net: &w.net, r: rand.New(rand.NewPCG(w.r.Uint64(), 5))}
	c.rec.Emit = c.fall
	return c
}

// Do implements store.Card.
func (c *card) Do(s store.Step, act func() error) error {
	c.mu.Lock()
	due := c.left == 1
	c.left = max(0, c.left-1)
	c.mu.Unlock()
	if !due {
		return act()
	}
	c.rec.Begin()
	return c.rec.Do(s, act)
}

// fall keeps one of the folders that a power cut in this step may leave. The
// store goes on with one that nobody looks at any more, and without a line.
func (c *card) fall(step storetest.Recorded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	which := c.r.IntN(4)
	for dir := range storetest.Cuts(step, 4, c.r) {
		c.fell = dir
		if which--; which < 0 {
			break
		}
	}
	c.net.Cut()
}

func (c *card) light(steps int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = steps
}

// fallen gives what a power cut left, nil if there was none.
func (c *card) fallen() storetest.Dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fell
}

// mended puts the fuse out.
func (c *card) mended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fell, c.left = nil, 0
}

// Dial gives a board with power a connection.
func (c *card) Dial(ctx context.Context, network, at string) (net.Conn, error) {
	if c.fallen() != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return c.net.Dial(ctx, network, at)
}

// burn gives what a crash amid the append that stored seq leaves of the log's
// folder, if the log's fuse has burnt down with it: its record whole, in part
// or not at all.
func (f *faulty) burn(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.fuse == 1
	if f.fuse = max(0, f.fuse-1); !due {
		return
	}
	dir, err := storetest.ReadDir(f.dir, nil)
	if err != nil {
		return
	}
	name, starts := records(dir)
	if n := len(starts); n > 1 && binary.LittleEndian.Uint64(dir[name][starts[n-1]+4:]) == seq {
		from := starts[n-1]
		dir[name] = dir[name][:from+f.r.IntN(len(dir[name])-from+1)]
	}
	f.fell = dir
}

// light lights a fuse.
func (w *testbed) light() {
	switch n := 1 + w.r.IntN(5); w.r.IntN(3) {
	case 0:
		w.any().card.light(n)
	case 1:
		w.server().gate.fuse.Store(int32(n))
	default:
		w.log.light(n)
	}
}

// mend puts everything together again after a step.
func (w *testbed) mend() {
	if fell := w.log.fallen(); fell != nil {
		w.seen.add(crashedIn, 1)
		w.loseLog(fell, w.r.IntN(2) == 0)
	}
	w.log.light(0)
	for _, s := range w.servers {
		if s.gate.dead.Load() {
			w.seen.add(killedInStep, 1)
			w.net.Cut()
			w.restart(s)
		}
		s.gate.fuse.Store(0)
	}
	for _, b := range w.boards {
		if b.card.fallen() != nil {
			b.insert(b.cut())
		}
		b.card.mended()
	}
}

func (f *faulty) light(records int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fuse = records
}

func (f *faulty) fallen() storetest.Dir {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fell
}
