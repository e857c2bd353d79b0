package cloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// knock asks for an upgrade and gives the answer; 400 means that it was let in
// as far as the subprotocol, which it does not name.
func knock(s *Server, remote, token string) *httptest.ResponseRecorder {
	r := upgradeRequest()
	r.RemoteAddr = remote
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// upgradeRequest asks for a WebSocket, as far as headers go.
func upgradeRequest() *http.Request {
	r := httptest.NewRequest("GET", "/v1/gateway", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"} {
		r.Header.Set(name, value)
	}
	return r
}

// guarded makes a server with n gateways and their tokens.
func guarded(t *testing.T, a Admission, n int) (s *Server, tokens []string) {
	creds := keyring.Credentials{Dir: t.TempDir()}
	for i := range n {
		token, err := creds.Add(fmt.Sprintf("g%d", i))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	s = inMemory(Options{Log: &cloudtest.Log{}, Credentials: creds, Admission: a})
	t.Cleanup(s.Close)
	return s, tokens
}

func retrySeconds(w *httptest.ResponseRecorder) int {
	n, _ := strconv.Atoi(w.Header().Get("Retry-After"))
	return n
}

func TestTooManyAltogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tokens := guarded(t, Admission{PerSecond: 5}, 20)
		for i := range 10 {
			w := knock(s, fmt.Sprintf("10.0.0.%d:1", i), tokens[i])
			switch {
			case i < 5 && w.Code != 400:
				t.Errorf("request %d: %d", i, w.Code)
			case i >= 5 && (w.Code != 503 || retrySeconds(w) < 1 || retrySeconds(w) > 1+20/4+1):
				t.Errorf("request %d: %d, retry after %q", i, w.Code, w.Header().Get("Retry-After"))
			}
		}
		time.Sleep(200 * time.Millisecond)
		if w := knock(s, "10.0.0.1:1", tokens[11]); w.Code != 400 {
			t.Errorf("a moment later: %d", w.Code)
		}
	})
}

func TestTooManyFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tokens := guarded(t, Admission{PerAddress: 6}, 1)
		for i := range 8 {
			w := knock(s, fmt.Sprintf("[2001:db8::%d]:1", i), "nonsense")
			if want := 401; i < 6 && w.Code != want {
				t.Errorf("request %d: %d", i, w.Code)
			}
			if i >= 6 && (w.Code != 429 || retrySeconds(w) != 10) {
				t.Errorf("request %d: %d, retry after %q", i, w.Code, w.Header().Get("Retry-After"))
			}
		}
		for _, other := range []string{"[2001:db8:0:1::1]:1", "10.0.0.1:1"} {
			if w := knock(s, other, tokens[0]); w.Code != 400 {
				t.Errorf("from %s: %d", other, w.Code)
			}
		}
	})
}

func TestAddressesWithoutLimit(t *testing.T) {
	s, tokens := guarded(t, Admission{PerAddress: -1, PerSecond: -1, PerGateway: -1}, 1)
	for i := range 5000 {
		if w := knock(s, "10.0.0.1:1", tokens[0]); w.Code != 400 {
			t.Fatalf("request %d: %d", i, w.Code)
		}
	}
}

// TestWrongCredentials: who tries wrong ones gets slower answers; a right one
// from the same address is served.
func TestWrongCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tokens := guarded(t, Admission{Wrong: 3}, 1)
		for i := range 5 {
			w := knock(s, "10.0.0.1:1", "fg1_g0_"+tokens[0][7:20])
			if i < 3 && w.Code != 401 || i >= 3 && (w.Code != 429 || retrySeconds(w) != 20) {
				t.Errorf("wrong credential %d: %d, retry after %q", i, w.Code, w.Header().Get("Retry-After"))
			}
		}
		if w := knock(s, "10.0.0.1:2", tokens[0]); w.Code != 400 {
			t.Errorf("the right one: %d", w.Code)
		}
		if w := knock(s, "10.0.0.2:1", "x"); w.Code != 401 {
			t.Errorf("from elsewhere: %d", w.Code)
		}
	})
}

func TestAddressesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Admission{}.orDefaults())
		come := func(net, n int) {
			for i := range n {
				g.of(fmt.Sprintf("%d.%d.%d.%d:1", net, i>>16, i>>8&255, i&255))
			}
		}
		come(10, 2*maxAddresses)
		if len(g.addresses) != maxAddresses {
			t.Errorf("%d addresses are remembered", len(g.addresses))
		}
		time.Sleep(2 * time.Minute)
		mine := g.of("192.0.2.1:1")
		come(11, maxAddresses/2)
		if len(g.addresses) > maxAddresses || g.of("192.0.2.1:2") != mine {
			t.Errorf("%d addresses are remembered, an active one among them: %v", len(g.addresses), g.of("192.0.2.1:2") == mine)
		}
		if g.of("no address") != g.of("") {
			t.Error("what is no address has a count of its own")
		}
	})
}

// TestSessionsAreLimited: one that takes the place of another is not one more.
func TestSessionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, dial := piped(t, Options{Log: &cloudtest.Log{}, Admission: Admission{Sessions: 1}})
		first := dial()
		say(t, first, &wire.Hello{GatewayID: "g"})
		hear[*wire.Welcome](t, first)
		second := dial()
		say(t, second, &wire.Hello{GatewayID: "g"})
		hear[*wire.Welcome](t, second)
		if code, _ := closeCode(t, first); code != wire.CloseSuperseded {
			t.Errorf("closed with %d", code)
		}
	})
	s, _ := guarded(t, Admission{Sessions: 2}, 0)
	for i, want := range []error{nil, nil, errFull} {
		if err := s.begin(fmt.Sprint(i)); err != want {
			t.Errorf("session %d: %v", i+1, err)
		}
	}
	s.end()
	if err := s.begin("3"); err != nil {
		t.Error(err)
	}
	s.end()
	s.end()
	if s.open != 0 {
		t.Errorf("%d are open", s.open)
	}
}

func TestRefusalsSayWhenToComeBack(t *testing.T) {
	s, tokens := guarded(t, Admission{}, 1)
	s.Close()
	r := upgradeRequest()
	r.Header.Set("Authorization", "Bearer "+tokens[0])
	r.Header.Set("Sec-WebSocket-Protocol", wire.SubprotocolCBOR)
	r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 503 || retrySeconds(w) != 5 {
		t.Errorf("a stopping server: %d, retry after %q", w.Code, w.Header().Get("Retry-After"))
	}
}
