package cloud

import (
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A line is what a server knows of one gateway beside the log.
// It is guarded by the server's mu.
type line struct {
	upgrades *rate.Limiter
	session  *session  // nil when it is not connected
	seen     time.Time // when it was heard last, before this session
}

// begin counts a session in, unless the server is stopping.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.serving.Add(1)
	return true
}

// admit gives how long a gateway must wait before it may connect; 0: it may.
// Only those with a valid credential are counted, so that nobody can keep a
// gateway out by using its name.
func (s *Server) admit(id string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := s.lineLocked(id).upgrades.Reserve()
	wait := res.Delay()
	if wait > 0 {
		res.Cancel()
	}
	return wait
}

func (s *Server) lineLocked(id string) *line {
	l := s.gateways[id]
	if l == nil {
		l = &line{upgrades: rate.NewLimiter(rate.Every(time.Minute/upgradesPerMin), upgradesPerMin)}
		s.gateways[id] = l
	}
	return l
}

// register makes x its gateway's session and ends the one before it. It is
// false if that one is newer: it opened later and was registered first.
func (s *Server) register(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lineLocked(x.gatewayID)
	if l.session != nil && l.session.gen > x.gen {
		return false
	}
	if l.session != nil {
		l.session.stop(errSuperseded)
	}
	l.session = x
	return true
}

// unregister forgets x, unless another has taken its place.
func (s *Server) unregister(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lineLocked(x.gatewayID)
	l.seen = time.UnixMilli(x.seen.Load())
	if l.session == x {
		l.session = nil
	}
}

// spread gives over how many seconds the gateways come back after a restart.
func (s *Server) spread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + len(s.gateways)/acceptPerSecond
}

// recheck ends the sessions of gateways whose credential is gone or another.
func (s *Server) recheck() {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		for _, x := range s.sessions() {
			if errors.Is(s.opt.Credentials.check(x.gatewayID, x.secret), ErrCredential) {
				x.stop(&closing{wire.CloseForbidden, "the credential was removed"})
			}
		}
	}
}

func (s *Server) sessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var xs []*session
	for _, l := range s.gateways {
		if l.session != nil {
			xs = append(xs, l.session)
		}
	}
	return xs
}
