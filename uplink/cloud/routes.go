package cloud

import (
	"fmt"
	"net/http"
)

// A route is one address of the server.
type route struct {
	pattern string
	serve   http.HandlerFunc
	open    bool     // it does not ask for the operator's token, or looks for another proof itself
	takes   []string // parameters; none else (gateway.Query)
}

// routes are all that this server answers.
func (s *Server) routes() []route {
	commands := &commandAPI{s.dispatcher, s}
	return []route{
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
		{pattern: "GET /v1/consumers", serve: s.listConsumers(s.opt.Gauge)},
		{pattern: "DELETE /v1/consumers/{name}", serve: s.forgetConsumer(s.opt.Gauge)},

		{pattern: "PUT /v1/gateways/{id}/config", serve: commands.putConfig, takes: []string{"confirm_s", "again"}},
		{pattern: "GET /v1/gateways/{id}/config", serve: commands.getConfig},
		{pattern: "POST /v1/gateways/{id}/commands", serve: commands.post, takes: []string{"wait"}},
		{pattern: "GET /v1/gateways/{id}/commands", serve: commands.list, takes: []string{"all"}},
		{pattern: "GET /v1/gateways/{id}/commands/{cid}", serve: commands.get, takes: []string{"wait"}},
	}
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
