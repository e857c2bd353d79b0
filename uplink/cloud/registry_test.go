package cloud

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

func sessionOf(s *Server, gen uint64) *session {
	x := &session{server: s, gatewayID: "g", gen: gen, hello: &wire.Hello{}}
	x.ctx, x.stop = context.WithCancelCause(s.ctx)
	return x
}

// TestRegisteringOutOfOrder opens 1, 2, 3 and registers 2, 1, 3.
func TestRegisteringOutOfOrder(t *testing.T) {
	s := inMemory(Options{})
	defer s.Close()
	one, two, three := sessionOf(s, 1), sessionOf(s, 2), sessionOf(s, 3)
	if s.register(two) != nil || s.register(one) != errSuperseded || two.ctx.Err() != nil {
		t.Error("an older session took the place of a newer one")
	}
	s.unregister(one)
	if s.register(three) != nil || !errors.Is(context.Cause(two.ctx), errSuperseded) {
		t.Errorf("the newest session did not take over: %v", context.Cause(two.ctx))
	}
	s.unregister(two)
	if xs := s.sessions(); len(xs) != 1 || xs[0] != three {
		t.Errorf("registered are %v", xs)
	}
}

func TestNoTokenOpensNothing(t *testing.T) {
	s := inMemory(Options{})
	defer s.Close()
	for _, header := range []string{"", "Bearer ", "Bearer x"} {
		r := httptest.NewRequest("GET", "/v1/gateways", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("a server without an operator token let %q through: %d", header, w.Code)
		}
	}
}
