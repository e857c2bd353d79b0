package local

import (
	"context"
	"net/netip"
	"reflect"
	"time"
)

// admit counts c in, if need be in the place of another client, unless there
// are too many or the server ends.
func (s *Server) admit(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.leave:
		return false
	default:
	}
	same := func(d *client) bool { return d.from == c.from }
	own := s.countLocked(same) >= mostOf(c.from)
	if !own { // a proxy may name as many addresses as it likes
		same = func(d *client) bool { return d.peer == c.peer }
		own = s.countLocked(same) >= mostOf(c.peer)
	}
	if own || len(s.clients) >= maxClients {
		victim := s.victimLocked(c, own, same)
		if victim == nil {
			return false
		}
		close(victim.out)
		delete(s.clients, victim)
	}
	s.serving.Add(1)
	s.clients[c] = struct{}{}
	return true
}

func mostOf(from netip.Prefix) int {
	if from.IsValid() && from.Addr().IsLoopback() {
		return maxOfProxy
	}
	return maxOfAddress
}

func (s *Server) countLocked(which func(*client) bool) (n int) {
	for d := range s.clients {
		if which(d) {
			n++
		}
	}
	return n
}

// victimLocked chooses who has to go for c: who never answered, else, for who
// is signed in, who is not, else one of an address that has at least two more;
// with own, who never answered of those that count with c. nil: nobody.
func (s *Server) victimLocked(c *client, own bool, same func(*client) bool) (victim *client) {
	of := map[netip.Prefix]int{}
	for d := range s.clients {
		of[d.from]++
	}
	worth := func(d *client) int { // the least has to go
		switch {
		case !d.proven.Load() && time.Since(d.since) >= provenWithin:
			return 0
		case own:
			return 3
		case c.known && !d.known:
			return 1
		case of[d.from] > of[c.from]+1 && (c.known || !d.known):
			return 2
		}
		return 3
	}
	for d := range s.clients {
		if worth(d) == 3 || own && !same(d) {
			continue
		}
		if victim == nil || worse(d, victim, worth, of) {
			victim = d
		}
	}
	return victim
}

func worse(d, e *client, worth func(*client) int, of map[netip.Prefix]int) bool {
	if wd, we := worth(d), worth(e); wd != we {
		return wd < we
	}
	if of[d.from] != of[e.from] {
		return of[d.from] > of[e.from]
	}
	return d.since.Before(e.since)
}

func (s *Server) dismiss(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.serving.Done()
}

// tellStatus gives the status to all clients when it has changed and at least
// every two seconds, until ctx is done.
func (s *Server) tellStatus(ctx context.Context) {
	tick := time.NewTicker(statusCheck)
	defer tick.Stop()
	var last Status
	var told time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !s.anyClients() {
			continue
		}
		st := s.status()
		if time.Since(told) < statusEvery && reflect.DeepEqual(st.steady(), last) {
			continue
		}
		last, told = st.steady(), time.Now()
		s.broadcast(encode(st))
	}
}

func (s *Server) anyClients() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients) > 0
}

func (s *Server) broadcast(status []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		select {
		case <-c.status: // an older one that was not sent
		default:
		}
		c.status <- status // room for one, and nobody else fills it
	}
}
