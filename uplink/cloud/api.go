package cloud

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// operator lets only those through who show the operator's token.
func (s *Server) operator(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(s.opt.OperatorToken)) != 1 || s.opt.OperatorToken == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="fieldgate operator"`)
			deny(w, http.StatusUnauthorized, "unauthorised", "the operator token is missing or wrong")
			return
		}
		next(w, r)
	}
}

// A gatewayInfo is one gateway in GET /v1/gateways.
type gatewayInfo struct {
	GatewayID string      `json:"gateway_id"`
	Connected bool        `json:"connected"`
	Since     *time.Time  `json:"since,omitempty"`     // of the session
	LastSeen  *time.Time  `json:"last_seen,omitempty"` // last message, or last record when there was none since the server began
	Session   uint64      `json:"gen,omitempty"`
	Epochs    []epochInfo `json:"epochs"`
}

type epochInfo struct {
	Epoch gateway.EpochID `json:"epoch"`
	Upto  uint64          `json:"upto"`
	Done  bool            `json:"done"`
	End   string          `json:"end"` // growing, closed, open, unlisted
}

var endNames = map[ending]string{endNone: "growing", endClosed: "closed", endOpen: "open", endUnlisted: "unlisted", endBare: "growing"}

// listGateways answers GET /v1/gateways.
func (s *Server) listGateways(w http.ResponseWriter, r *http.Request) {
	creds, err := s.opt.Credentials.List()
	list := []gatewayInfo{}
	for _, c := range creds {
		info, ierr := s.describe(r, c.ID)
		err = errors.Join(err, ierr)
		list = append(list, info)
	}
	if err != nil {
		s.opt.Logger.Error("cannot list gateways", "error", err)
		deny(w, http.StatusServiceUnavailable, "storage", "the gateways cannot be listed at the moment")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"gateways": list})
}

// describe joins what the log holds of a gateway with its live session.
func (s *Server) describe(r *http.Request, id string) (gatewayInfo, error) {
	info := gatewayInfo{GatewayID: id, Epochs: []epochInfo{}}
	last, err := s.opt.Log.Last(r.Context(), id)
	if err != nil && !errors.Is(err, ErrNoRecord) {
		return info, err
	}
	held, err := parseState(last.State)
	if err != nil {
		return info, err
	}
	for _, e := range held.epochs {
		info.Epochs = append(info.Epochs, epochInfo{e.id, e.upto, e.done(), endNames[e.end]})
	}
	// While nothing came since this server began, the newest record tells.
	seen := last.At
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.gateways[id]; l != nil {
		seen = latest(seen, l.seen)
		if x := l.session; x != nil {
			info.Connected, info.Since, info.Session = true, utc(x.since), x.gen
			seen = latest(seen, time.UnixMilli(x.seen.Load()))
		}
	}
	info.LastSeen = utc(seen)
	return info, nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// utc gives t in whole milliseconds, nil for no time at all.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// known tells whether a gateway has a credential or records.
func (s *Server) known(r *http.Request, id string) (bool, error) {
	if !gateway.ValidID(id) {
		return false, nil
	}
	if _, err := s.opt.Credentials.read(id); err == nil {
		return true, nil
	}
	_, err := s.opt.Log.Last(r.Context(), id)
	if errors.Is(err, ErrNoRecord) {
		return false, nil
	}
	return err == nil, err
}
