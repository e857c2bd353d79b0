package cloud

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A gateway that moves to another server of the cloud leaves a session behind
// that can append no more, but would learn it only when it tries. So a server
// tells the others of every session that it opens (PROTOCOL 3.4). That a kick
// is lost does no harm.

const kickSubject = "kick.default." // and the gateway's id

// A kick says that a session with this number has opened, or, with Conflict,
// that it must go because two boards take the line from each other.
type kick struct {
	Gen      uint64         `json:"gen"`
	Install  [16]byte       `json:"install"`
	Boot     gateway.BootID `json:"boot"`
	Conflict bool           `json:"conflict,omitempty"`
}

// tellOthers tells the other servers that x has opened.
func (s *Server) tellOthers(x *session) {
	s.kickOthers(x.gatewayID, kick{Gen: x.gen, Install: x.hello.InstallID, Boot: x.hello.BootID})
}

func (s *Server) kickOthers(gatewayID string, k kick) {
	if s.opt.PubSub == nil {
		return
	}
	data, err := json.Marshal(k)
	if err == nil {
		err = s.opt.PubSub.Tell(kickSubject+gatewayID, data)
	}
	if err != nil {
		s.opt.Logger.Debug("the other servers were not told of a session", "gateway", gatewayID, "error", err)
	}
}

// hearKicks ends sessions of gateways that have moved to another server.
func (s *Server) hearKicks(ctx context.Context) {
	off, err := s.opt.PubSub.On(kickSubject+"*", func(subject string, data []byte) []byte {
		var k kick
		if json.Unmarshal(data, &k) == nil {
			s.kicked(strings.TrimPrefix(subject, kickSubject), k)
		}
		return nil
	})
	if err != nil {
		s.opt.Logger.Error("sessions that moved to another server are noticed only when they send", "error", err)
		return
	}
	defer off()
	<-ctx.Done()
}

// kicked ends the session of a gateway if a newer one is elsewhere. The server
// that lost it counts the take-over: the other does not know of it.
func (s *Server) kicked(gatewayID string, k kick) {
	if s.loseTo(gatewayID, k) {
		k.Conflict = true
		s.kickOthers(gatewayID, k)
	}
}

// loseTo reports whether the other session must go too.
func (s *Server) loseTo(gatewayID string, k kick) (conflict bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.gateways[gatewayID]
	if l == nil || l.session == nil {
		return false
	}
	x, newer := l.session, board{k.Install, k.Boot}
	switch {
	case k.Conflict && x.gen == k.Gen:
		x.stop(errConflict)
	case k.Conflict, x.gen >= k.Gen:
	case l.takenOver(takeover{time.Now(), x.board(), newer}):
		s.conflicted(x, newer, "at another server")
		x.stop(errConflict)
		return true
	default:
		s.figures.count("takeovers_total", "", "")
		x.stop(errSuperseded)
	}
	return false
}
