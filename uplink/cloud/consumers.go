package cloud

import (
	"context"
	"net/http"
	"net/url"

	"github.com/fieldgate/fieldgate/gateway"
)

// useConsumers adds the parts that serve those who read: the ledger.
func (s *Server) useConsumers() {
	if s.opt.Feed != nil && s.opt.Shelf != nil {
		l := &ledger{log: s.opt.Log, feed: s.opt.Feed, shelf: s.opt.Shelf, logger: s.opt.Logger}
		s.parts = append(s.parts, part{run: l.run})
	}
	s.mux.HandleFunc("GET /v1/gateways/{id}/readings", s.operator(s.serveReadings))
	s.mux.HandleFunc("GET /v1/gateways/{id}/events", s.operator(s.serveEvents))
	s.mux.HandleFunc("GET /v1/gateways/{id}/completeness", s.operator(s.serveCompleteness))
}

// admitReader answers requests for a gateway that is not known, and tells
// whether it is.
func (s *Server) admitReader(w http.ResponseWriter, r *http.Request, id string) bool {
	known, err := s.known(r, id)
	if err != nil {
		s.opt.Logger.Error("cannot read the log", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the log cannot be read at the moment")
		return false
	}
	if !known {
		deny(w, http.StatusNotFound, "unknown_gateway", "no such gateway")
	}
	return known
}

// parseEpoch reads ?epoch=; nil if it is not there.
func parseEpoch(q url.Values) (*gateway.EpochID, error) {
	v := q.Get("epoch")
	if v == "" {
		return nil, nil
	}
	e := new(gateway.EpochID)
	return e, e.UnmarshalText([]byte(v))
}

// waiting gives what a gateway said last that it still holds.
func (s *Server) waiting(context.Context, string) *waitingAnswer { return nil }
