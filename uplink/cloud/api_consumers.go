package cloud

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A consumerInfo is a consumer of the log in GET /v1/consumers.
type consumerInfo struct {
	Name   string     `json:"name"`
	Behind uint64     `json:"behind"` // records that it has not passed: the log purges none of them
	Since  *time.Time `json:"since"`  // when the oldest of these was stored; null: it holds nothing back
	Used   bool       `json:"used"`   // records are consumed under this name now
	Seen   *time.Time `json:"seen"`   // when that was heard of last
	Needed bool       `json:"needed"` // by the server itself: it cannot be forgotten
}

// listConsumers answers GET /v1/consumers.
func (s *Server) listConsumers(g record.Gauge) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		states, err := g.Consumers(r.Context())
		if err != nil {
			s.opt.Logger.Error("cannot list the consumers of the log", "error", err)
			deny(w, http.StatusServiceUnavailable, "storage", "the consumers of the log cannot be listed at the moment")
			return
		}
		list := []consumerInfo{}
		for _, c := range states {
			list = append(list, consumerInfo{c.Name, c.Behind, ledger.UTC(c.Oldest), c.Used, ledger.UTC(c.Seen), c.Name == ledger.ConsumerName})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"consumers": list})
	}
}

// forgetConsumer answers DELETE /v1/consumers/{name}: the log waits no longer
// for it. 404 if there is none; 409 if it is in use, or the server's own.
func (s *Server) forgetConsumer(g record.Gauge) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if name == ledger.ConsumerName {
			deny(w, http.StatusConflict, "needed", "the server itself needs this consumer, for what it says of completeness: it cannot be forgotten")
			return
		}
		var was record.ConsumerState
		states, err := g.Consumers(r.Context())
		for _, c := range states {
			if c.Name == name {
				was = c
			}
		}
		if err == nil {
			err = g.Forget(r.Context(), name)
		}
		switch {
		case errors.Is(err, record.ErrNoConsumer):
			deny(w, http.StatusNotFound, "unknown_consumer", "the log knows no consumer of this name")
			return
		case errors.Is(err, record.ErrConsumerUsed):
			deny(w, http.StatusConflict, "used", "records are consumed under this name at the moment: "+
				"end that first, on every server (postgres: start them without --postgres)")
			return
		case err != nil:
			s.opt.Logger.Error("cannot forget a consumer of the log", "consumer", name, "error", err)
			deny(w, http.StatusServiceUnavailable, "storage",
				"the consumer cannot be forgotten at the moment, or it is forgotten already; list the consumers")
			return
		}
		s.metrics.count("consumers_forgotten_total", "", "")
		attrs := []any{"consumer", name, "behind", was.Behind, "remote", r.RemoteAddr}
		if !was.Oldest.IsZero() {
			attrs = append(attrs, "since", was.Oldest.UTC().Format(ledger.TimeLayout))
		}
		s.auditAct("consumer_forgotten", "the log no longer waits for a consumer", attrs...)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(consumerInfo{was.Name, was.Behind, ledger.UTC(was.Oldest), false, ledger.UTC(was.Seen), false})
	}
}
