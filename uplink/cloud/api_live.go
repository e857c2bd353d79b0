package cloud

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/live"
	"github.com/fieldgate/fieldgate/uplink/rfc6455"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const maxLiveClients = 1000

// serveLive answers GET /v1/live: presence and last values first, then the
// stream.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	filter, err := live.ParseFilter(r.URL.RawQuery)
	switch {
	case !s.originAllowed(r):
		deny(w, http.StatusForbidden, "origin_not_allowed", "pages of other sites may not listen here")
		return
	case !s.mayListen(r):
		s.refuseOperator(w, r, "the operator token or the ticket is missing, wrong or used up")
		return
	case err != nil:
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	if !s.admitFilter(w, r, filter) {
		return
	}
	if no := rfc6455.Refused(w, r); no != nil {
		deny(w, no.Status, handshakeCode(no), no.Why)
		return
	}
	if !s.admitLive() {
		w.Header().Set("Retry-After", "10")
		deny(w, http.StatusServiceUnavailable, "too_many_clients", "this server serves as many live clients as it can, or is about to stop")
		return
	}
	defer s.dismissLive()
	deflate := rfc6455.Deflate(r)
	up := websocket.Upgrader{
		HandshakeTimeout: headerWithin, EnableCompression: deflate, Subprotocols: []string{live.Subprotocol}, Error: denyUpgrade,
		CheckOrigin: func(*http.Request) bool { return true }, // checked above
	}
	conn, err := up.Upgrade(rfc6455.Server(w, deflate), r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	s.hub.Serve(s.ctx, conn, *filter, liveFleet{s})
}

// admitLive counts a client in, unless there are too many or the server stops.
func (s *Server) admitLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.listening >= maxLiveClients {
		return false
	}
	s.listening++
	s.serving.Add(1)
	return true
}

func (s *Server) dismissLive() {
	s.mu.Lock()
	s.listening--
	s.mu.Unlock()
	s.serving.Done()
}

// admitFilter answers who names a gateway that is not known, and tells whether
// all are.
func (s *Server) admitFilter(w http.ResponseWriter, r *http.Request, f *live.Filter) bool {
	for _, id := range f.Gateways {
		if !s.admitReader(w, r, id) {
			return false
		}
	}
	return true
}

// mayListen takes the operator's token, or a ticket offered as a subprotocol.
func (s *Server) mayListen(r *http.Request) bool {
	ticket := live.TicketOf(r)
	return s.isOperator(r) || ticket != "" && s.tickets.Redeem(r.Context(), ticket)
}

// serveTicket answers POST /v1/ws-ticket.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request) {
	ticket, err := s.tickets.Issue(r.Context())
	if err != nil {
		s.opt.Logger.Error("cannot issue a ticket", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "no ticket can be issued at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ticket": ticket, "subprotocols": []string{live.Subprotocol, live.TicketProtocol + ticket}, "expires_s": int(live.TicketTTL.Seconds()),
	})
}

// serveLast answers GET /v1/gateways/{id}/last.
func (s *Server) serveLast(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	values, err := s.hub.Last(r.Context(), id)
	if err != nil {
		s.opt.Logger.Error("cannot read last values", "gateway", id, "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the log cannot be read at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"gateway_id": id, "values": values})
}

// A liveFleet shows the stream what the server knows of gateways.
type liveFleet struct{ *Server }

// IDs implements live.Fleet.
func (s liveFleet) IDs() ([]string, error) {
	ids := s.presences.All()
	list, err := s.opt.Credentials.List()
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, err
}

// A liveStatus is a gateway's presence on /v1/live.
type liveStatus struct {
	Type      string              `json:"type"` // "status"
	GatewayID string              `json:"gateway_id"`
	Connected bool                `json:"connected"`
	Since     *time.Time          `json:"since,omitempty"`
	LastSeen  *time.Time          `json:"last_seen,omitempty"`
	Software  string              `json:"software,omitempty"`
	Level     wire.Level          `json:"level,omitempty"`
	Backlog   *ledger.Waiting     `json:"backlog,omitempty"`
	Clock     string              `json:"clock,omitempty"` // none, rtc, session, ntp
	Health    []wire.Condition    `json:"health"`
	Devices   []wire.StatusDevice `json:"devices"`
}

// Status implements live.Fleet.
func (s liveFleet) Status(id string) any {
	st := liveStatus{Type: "status", GatewayID: id, Health: []wire.Condition{}, Devices: []wire.StatusDevice{}}
	if p, ok := s.presences.Of(id); ok {
		st.Connected, st.LastSeen, st.Software, st.Level, st.Backlog = p.Connected, ledger.UTC(p.Seen), p.Software, p.Level, p.Waiting()
		st.Clock = p.Clock.Quality.String()
		if p.Connected {
			st.Since = ledger.UTC(p.Since)
		}
		st.Health, st.Devices = append(st.Health, p.Health...), append(st.Devices, p.Devices...)
	}
	return st
}
