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
// tells the others of every session that it opens (PROTOCOL 3.4). That a notice
// is lost does no harm.

const takeoverSubject = "kick.default." // and the gateway's id

// A takeoverNotice says that a session with this number has opened, or, with Conflict,
// that it must go because two boards take over from each other.
type takeoverNotice struct {
	Gen      uint64         `json:"gen"`
	Install  [16]byte       `json:"install"`
	Boot     gateway.BootID `json:"boot"`
	Conflict bool           `json:"conflict,omitempty"`
}

// announce tells the other servers that x has opened.
func (s *Server) announce(x *session) {
	s.announceTakeover(x.gatewayID, takeoverNotice{Gen: x.gen, Install: x.hello.InstallID, Boot: x.hello.BootID})
}

func (s *Server) announceTakeover(gatewayID string, k takeoverNotice) {
	data, err := json.Marshal(k)
	if err == nil {
		err = s.opt.PubSub.Publish(takeoverSubject+gatewayID, data)
	}
	if err != nil {
		s.opt.Logger.Debug("the other servers were not told of a session", "gateway", gatewayID, "error", err)
	}
}

// hearTakeovers ends sessions of gateways that have moved to another server.
func (s *Server) hearTakeovers(ctx context.Context) {
	off, err := s.opt.PubSub.Subscribe(takeoverSubject+"*", func(subject string, data []byte) []byte {
		var k takeoverNotice
		if json.Unmarshal(data, &k) == nil {
			s.supersede(strings.TrimPrefix(subject, takeoverSubject), k)
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

// supersede ends the session of a gateway if a newer one is on another server. The
// server that lost it counts the takeover: the other does not know of it.
func (s *Server) supersede(gatewayID string, k takeoverNotice) {
	if s.loseTo(gatewayID, k) {
		k.Conflict = true
		s.announceTakeover(gatewayID, k)
	}
}

// loseTo reports whether the other session must go too.
func (s *Server) loseTo(gatewayID string, k takeoverNotice) (conflict bool) {
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
	case l.noteTakeover(takeover{time.Now(), x.board(), newer}):
		s.conflicted(x, newer, "at another server")
		x.stop(errConflict)
		return true
	default:
		s.metrics.count("takeovers_total", "", "")
		x.stop(errSuperseded)
	}
	return false
}
