package cloud

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	drainWithin  = 5 * time.Second  // for acks under way and the gateways' own closing
	drainSpread  = 60 * time.Second // over which a large fleet comes back
	byeWithin    = 5 * time.Second  // for what a gateway that says goodbye has under way
	fleetEvery   = time.Minute      // between two counts of the credentials
	interruptFor = 5                // seconds until gateways come back after the log's connection broke, at least
)

// Interrupted ends every session, because the log's connection broke or its
// leader is another one: what was under way then can only be judged by reading
// the log anew, which opening a session does (PROTOCOL 2.4 rule 5). Nothing
// more is acknowledged in them. It does not wait.
func (s *Server) Interrupted(err error) {
	s.mu.Lock()
	s.logGen++
	s.mu.Unlock()
	xs := s.sessions()
	s.opt.Logger.Error("the connection to the log was interrupted; the gateways are asked to connect anew", "error", err, "sessions", len(xs))
	for _, x := range xs {
		x.stop(errInterrupted)
	}
}

// drain asks every gateway to end its session and come back at a time of its
// own, and waits until they have, at most for drainWithin. New sessions are
// refused from the beginning.
func (s *Server) drain() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	span := min(s.drainSpan(), time.Duration(s.spread())*time.Second)
	var all sync.WaitGroup
	for _, x := range s.sessions() {
		all.Go(func() { x.drain(span) })
	}
	all.Wait()
}

func (s *Server) drainSpan() time.Duration {
	if s.opt.DrainSpan > 0 {
		return s.opt.DrainSpan
	}
	return drainSpread
}

// drain asks the gateway to go, and waits until it has.
func (x *session) drain(span time.Duration) {
	late := time.AfterFunc(drainWithin, func() { x.stop(errRestart) })
	defer late.Stop()
	err := x.send(&wire.Drain{AfterMS: rand.N(span).Milliseconds(), Reason: errRestart.reason})
	if err == nil {
		<-x.ctx.Done()
	}
}

var errRestart = &closing{websocket.CloseServiceRestart, "the server restarts"}

// goodbye ends a session as the gateway wishes, after what it sent is stored
// and acknowledged.
func (x *session) goodbye(m *wire.Bye) error {
	x.log.Info("the gateway says goodbye", "reason", m.Reason, "next_s", m.NextS)
	end := &closing{websocket.CloseNormalClosure, "bye"}
	late := time.AfterFunc(byeWithin, func() { x.stop(end) })
	defer late.Stop()
	x.storing.Wait()
	return end
}

// spread gives over how many seconds the gateways come back after a restart:
// all that have a credential, since those that come first must not believe
// that they are alone.
func (s *Server) spread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + max(len(s.gateways), len(s.fleet))/s.gate.planned()
}

// countFleet counts the credentials now and then.
func (s *Server) countFleet(ctx context.Context) {
	tick := time.NewTicker(fleetEvery)
	defer tick.Stop()
	for {
		if ids, err := s.opt.Credentials.IDs(); err == nil { // else they are still about the same
			s.mu.Lock()
			s.fleet = ids
			s.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
