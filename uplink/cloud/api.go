package cloud

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/live"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// operator lets only those through who show the operator's token, and ask with
// no parameters but those that the route takes (gateway.Query).
func (s *Server) operator(next http.HandlerFunc, takes ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.isOperator(r) {
			s.refuseOperator(w, r, "the operator token is missing or wrong")
			return
		}
		if _, err := gateway.Query(r.URL.RawQuery, takes...); err != nil {
			deny(w, http.StatusBadRequest, "bad_query", err.Error())
			return
		}
		next(w, r)
	}
}

func (s *Server) isOperator(r *http.Request) bool {
	token := s.keys.Load().OperatorToken
	return token != "" && subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(token)) == 1
}

// refuseOperator answers who shows no token that opens the operator's API, and
// notes who showed a wrong one, or a ticket that is none: once a minute for
// each address, with how often.
func (s *Server) refuseOperator(w http.ResponseWriter, r *http.Request, why string) {
	shown := r.Header.Get("Authorization") != "" || live.TicketOf(r) != ""
	reason := "operator_none"
	if shown {
		reason = "operator"
		s.audit("operator_refused", "", "somebody was refused at the operator's API: what was shown is not valid", "remote",
			r.RemoteAddr, "path", r.URL.Path)
	}
	s.metrics.count("auth_failures_total", "reason", reason)
	w.Header().Set("WWW-Authenticate", `Bearer realm="fieldgate operator"`)
	deny(w, http.StatusUnauthorized, "unauthorised", why)
}

// yes reads a parameter that is true or false, or not there: false.
func yes(r *http.Request, name string) (bool, error) {
	switch text := r.URL.Query().Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s is %.20q, must be true or false", name, text)
	}
}

// known tells whether a gateway has a credential or records.
func (s *Server) known(r *http.Request, id string) (bool, error) {
	if !gateway.ValidID(id) {
		return false, nil
	}
	if _, err := s.opt.Credentials.Read(id); err == nil {
		return true, nil
	}
	_, err := s.opt.Log.Last(r.Context(), id)
	if errors.Is(err, record.ErrNoRecord) {
		return false, nil
	}
	return err == nil, err
}

// admitReader answers requests for a gateway that is not known, and tells
// whether it is.
func (s *Server) admitReader(w http.ResponseWriter, r *http.Request, id string) bool {
	known, err := s.known(r, id)
	if err == nil && !known && gateway.ValidID(id) { // the ledger outlives the credential and the log
		known, err = ledger.Knows(r.Context(), s.opt.KV, id)
	}
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

// denyLedger answers where the ledger has no answer.
func (s *Server) denyLedger(w http.ResponseWriter, id string, err error) {
	if errors.Is(err, ledger.ErrUnknownEpoch) {
		deny(w, http.StatusNotFound, "unknown_epoch", err.Error())
		return
	}
	s.opt.Logger.Error("cannot read the ledger", "gateway", id, "error", err)
	deny(w, http.StatusServiceUnavailable, "storage", "the ledger cannot be read at the moment")
}
