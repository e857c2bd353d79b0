package cloud

import (
	"crypto/subtle"
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
