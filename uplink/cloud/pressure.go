package cloud

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	slowAfter  = time.Second // an append that takes longer makes windows smaller
	quickAgain = 3           // appends in a row that did not, and they are as before
	whyStorage = "storage"
)

// A pressure says how well the log takes records, and so how much gateways may
// have under way.
type pressure int

const (
	calm      pressure = iota
	slowBack           // one backlog message at a time
	slowLive           // and one live message
	notStored          // nothing: the log takes none
)

// windows gives the windows at a pressure. A slow log is asked on with one
// message of a lane at a time: that it is quick again shows only so.
func (p pressure) windows() *wire.Windows {
	w := wire.DefaultWindows
	switch p {
	case slowBack:
		w.Back.Msgs = 1
	case slowLive:
		w.Back.Msgs, w.Live.Msgs = 1, 1
	case notStored:
		w = wire.Windows{}
	}
	return &w
}

// trouble tells both sides that the log takes nothing for now (err), or that
// it does again (nil). The gateway keeps what is not acknowledged, and sends
// no more of it.
func (x *session) trouble(err error) {
	// append calls this, so it runs on the goroutine that owns the state and the
	// acks, and no lock is held while the gateway is told.
	if err != nil {
		x.server.storage.fails(err)
		x.must(x.press(notStored))
		return
	}
	x.server.storage.works()
	x.must(x.press(calm))
}

// paceBy makes the windows smaller when an append took long: the backlog's
// first, then that of live; and wide again when the log is quick.
func (x *session) paceBy(took time.Duration) error {
	if took <= slowAfter {
		// One quick append proves little: wide windows at once would make it slow again.
		if x.quick++; x.quick < quickAgain {
			return nil
		}
		return x.press(calm)
	}
	x.quick = 0
	if x.pressure == calm {
		x.log.Warn("the log is slow; the gateway is asked to send less", "took", took)
		return x.press(slowBack)
	}
	return x.press(slowLive)
}

// press tells the gateway its new windows, if they are others.
func (x *session) press(p pressure) error {
	if p == x.pressure {
		return nil
	}
	x.server.storage.pressed(x.pressure, p)
	x.pressure = p
	if !x.welcomed.Load() || x.interrupted() {
		return nil // welcome says it
	}
	// What is stored and not acknowledged yet goes along: the append that follows
	// may take long.
	a := x.ackPending(&wire.Ack{Win: p.windows()})
	if p != calm {
		a.Why = whyStorage
	}
	return x.send(a)
}

// A storage is how the log does, as all sessions of a server see it.
type storage struct {
	log     *slog.Logger
	mu      sync.Mutex
	failing time.Time // since then; zero: it works
	waiting int       // sessions whose records it does not take
}

// fails and works tell people once, however many sessions see it.
func (s *storage) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing.IsZero() {
		s.failing = time.Now()
		s.log.Error("the log does not take records; nothing is acknowledged until it does, and the gateways keep what they have", "error", err)
	}
}

func (s *storage) works() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing.IsZero() {
		s.log.Info("the log takes records again", "after", time.Since(s.failing).Round(time.Millisecond))
		s.failing = time.Time{}
	}
}

// pressed counts the sessions whose records the log does not take.
func (s *storage) pressed(before, now pressure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before == notStored {
		s.waiting--
	}
	if now == notStored {
		s.waiting++
	}
}

// paused gives how many sessions wait for the log.
func (s *storage) paused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// err says why the log cannot be relied on at the moment, or nil. It is about
// sessions that wait now: a server without any must look ready, or no balancer
// would send it one that finds out.
func (s *storage) err() error {
	if n := s.paused(); n > 0 {
		return fmt.Errorf("the log does not take the records of %d gateways", n)
	}
	return nil
}
