package cloud

import (
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// A gatewayEntry is what a server knows of one gateway beside the log.
// It is guarded by the server's mu.
type gatewayEntry struct {
	upgrades  *rate.Limiter
	session   *session // nil when it is not connected
	takeovers []takeover
	remarks   *rate.Limiter
	unsaid    int // remarks
}

// begin counts a session in, unless the server is stopping or full. One that
// takes the place of another is not one more.
func (s *Server) begin(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	if l := s.gateways[id]; s.open >= s.gate.admission.Sessions && (l == nil || l.session == nil) {
		return errFull
	}
	s.open++
	s.serving.Add(1)
	return nil
}

var (
	errStopping = errors.New("the server restarts")
	errFull     = errors.New("the server has as many sessions as it takes")
)

// end counts a session out.
func (s *Server) end() {
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
	s.serving.Done()
}

func (s *Server) entryLocked(id string) *gatewayEntry {
	l := s.gateways[id]
	if l == nil {
		l = &gatewayEntry{
			upgrades: limiter(s.gate.admission.PerGateway, time.Minute),
			remarks:  rate.NewLimiter(rate.Every(remarkEvery), remarksAtOnce),
		}
		s.gateways[id] = l
	}
	return l
}

// register makes x its gateway's session and ends the one before it. It fails
// if that one is newer: it opened later and was registered first; if the log's
// connection broke since x began to open; or if two boards take over from each
// other: then both must go.
func (s *Server) register(x *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.entryLocked(x.gatewayID)
	older := l.session
	switch {
	case x.logGen != s.logGen:
		return errInterrupted
	case older != nil && older.gen > x.gen:
		return errSuperseded
	case older != nil && l.noteTakeover(takeover{time.Now(), older.board(), x.board()}):
		s.conflicted(x, older.board(), older.remote)
		older.stop(errConflict)
		return errConflict
	case older != nil:
		s.metrics.count("takeovers_total", "", "")
		older.stop(errSuperseded)
	}
	l.session = x
	return nil
}

// unregister forgets x, unless another has taken its place.
func (s *Server) unregister(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.gateways[x.gatewayID]; l != nil && l.session == x {
		l.session = nil
	}
}

// currentLogGen gives the generation of the connection to the log.
func (s *Server) currentLogGen() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logGen
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
