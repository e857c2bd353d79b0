package cloud

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
)

// serveCompleteness answers GET /v1/gateways/{id}/completeness.
func (s *Server) serveCompleteness(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.admitReader(w, r, id) {
		return
	}
	span, err := ledger.ParseRange(r.URL.Query(), time.Now())
	only, eerr := ledger.ParseEpoch(r.URL.Query())
	if err == nil {
		err = eerr
	}
	if err != nil {
		deny(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	b, err := ledger.Open(r.Context(), s.opt.Log, s.opt.KV, id)
	var c *ledger.Completeness
	waiting, sent := s.waiting(id)
	if err == nil {
		c, err = b.Complete(r.Context(), span, only, waiting, sent)
	}
	if err != nil {
		s.denyLedger(w, id, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c)
}

// waiting gives what a gateway said last that it still holds, and up to when it
// has sent all.
func (s *Server) waiting(id string) (w *ledger.Waiting, sent time.Time) {
	p, ok := s.presences.Of(id)
	if !ok {
		return nil, sent
	}
	return p.Waiting(), p.Sent()
}
