package cloud

import (
	"fmt"
	"net/http"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A route is one address of the server.
type route struct {
	pattern string
	serve   http.HandlerFunc
	open    bool     // it does not ask for the operator's token, or looks for another proof itself
	takes   []string // parameters; none else (gateway.Query)
}

// routes are all that this server answers: what it has no part for is not among
// them.
func (s *Server) routes() []route {
	list := []route{
		{pattern: "GET /v1/gateway", serve: s.serveGateway, open: true},
		{pattern: "POST /v1/enroll", serve: s.serveEnroll, open: true},
		{pattern: "POST /v1/credentials/rotate", serve: s.serveRotate, open: true},
		{pattern: "GET /healthz", serve: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }, open: true},
		{pattern: "GET /readyz", serve: s.serveReady, open: true},
		{pattern: "GET /v1/live", serve: s.serveLive, open: true}, // takes a ticket too

		{pattern: "GET /metrics", serve: s.serveMetrics},
		{pattern: "GET /v1/audit", serve: s.serveAudit, takes: []string{"limit", "gateway", "event"}},
		{pattern: "POST /v1/ws-ticket", serve: s.serveTicket},
		{pattern: "GET /v1/gateways", serve: s.listGateways},
		{pattern: "GET /v1/gateways/{id}", serve: s.serveDescription},
		{pattern: "GET /v1/gateways/{id}/last", serve: s.serveLast},
		{pattern: "GET /v1/gateways/{id}/readings", serve: s.serveReadings,
			takes: []string{"from", "to", "epoch", "from_seq", "to_seq", "device*", "quantity*", "format"}},
		{pattern: "GET /v1/gateways/{id}/events", serve: s.serveEvents, takes: []string{"from", "to", "epoch", "device*", "format"}},
		{pattern: "GET /v1/gateways/{id}/completeness", serve: s.serveCompleteness, takes: []string{"from", "to", "epoch"}},
	}
	if g, ok := s.opt.Feed.(record.Gauge); ok {
		list = append(list,
			route{pattern: "GET /v1/consumers", serve: s.listConsumers(g)},
			route{pattern: "DELETE /v1/consumers/{name}", serve: s.forgetConsumer(g)})
	}
	if s.dispatcher != nil {
		api := &commandAPI{s.dispatcher, s}
		list = append(list,
			route{pattern: "PUT /v1/gateways/{id}/config", serve: api.putConfig, takes: []string{"confirm_s", "again"}},
			route{pattern: "GET /v1/gateways/{id}/config", serve: api.getConfig},
			route{pattern: "POST /v1/gateways/{id}/commands", serve: api.post, takes: []string{"wait"}},
			route{pattern: "GET /v1/gateways/{id}/commands", serve: api.list, takes: []string{"all"}},
			route{pattern: "GET /v1/gateways/{id}/commands/{cid}", serve: api.get, takes: []string{"wait"}})
	}
	return list
}

// useRoutes makes the server answer them.
func (s *Server) useRoutes() {
	for _, r := range s.routes() {
		if r.open {
			s.mux.HandleFunc(r.pattern, r.serve)
			continue
		}
		s.mux.HandleFunc(r.pattern, s.operator(r.serve, r.takes...))
	}
}
