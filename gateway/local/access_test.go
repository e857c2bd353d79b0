package local

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
)

const canary = "s3cret-canary-7c1f"

func withToken(token string) func() (string, error) {
	return func() (string, error) { return token + "\n", nil } // as files end
}

func TestRoutesWithDataNeedTheToken(t *testing.T) {
	o, log := options()
	o.View, o.Token = "login", withToken(canary)
	s, addr := start(t, o)
	publish(o.Hub, 1, 987.625)
	for path, r := range paths(s) {
		open := func(status int) bool { return status == http.StatusOK || status == http.StatusNotFound }
		status, h, body := request(t, "http://"+addr+path)
		if r.open && !open(status) {
			t.Errorf("%s shows no data, but without token answers %d", path, status)
		}
		if !r.open && (status != http.StatusUnauthorized || code(body) != "token_required" || h.Get("WWW-Authenticate") == "") {
			t.Errorf("%s without token: %d %s, want 401 token_required", path, status, body)
		}
		if strings.Contains(body, "987.625") || strings.Contains(body, "boiler") || strings.Contains(body, canary) {
			t.Errorf("%s without token shows data: %s", path, body)
		}
		right := [][]string{{path, "Authorization", "Bearer " + canary}, {path, "Authorization", "bearer " + canary}, {path + "?token=" + canary}}
		for _, r := range right {
			if status, _, body := request(t, "http://"+addr+r[0], r[1:]...); status == http.StatusUnauthorized {
				t.Errorf("%s with the token: %d %s", r, status, body)
			}
		}
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the token is in the log:\n%s", log)
	}
}

func TestWebSocketNeedsTheToken(t *testing.T) {
	o, _ := options()
	o.View, o.Token = "login", withToken(canary)
	_, addr := start(t, o)
	for _, path := range []string{"/ws", "/"} {
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if err == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without token: %v, want 401", path, err)
		}
		read(t, dial(t, "ws://"+addr+path+"?token="+canary))
	}
}

func TestWrongTokens(t *testing.T) {
	o, log := options()
	o.View, o.Token = "login", withToken(canary)
	_, addr := start(t, o)
	for _, auth := range []string{"Bearer " + canary[1:], "Bearer " + canary + "x"} {
		status, _, body := request(t, "http://"+addr+"/api/v1/status", "Authorization", auth)
		if status != http.StatusUnauthorized || code(body) != "token_wrong" {
			t.Errorf("%q: %d %s, want 401 token_wrong", auth, status, body)
		}
	}
	status, _, body := request(t, "http://"+addr+"/api/v1/status?token="+canary, "Authorization", "Basic Zm9v")
	if status != http.StatusUnauthorized || code(body) != "token_required" {
		t.Errorf("Basic: %d %s, want 401 token_required", status, body)
	}
	if strings.Contains(log.String(), canary[1:]) {
		t.Errorf("a token is in the log:\n%s", log)
	}
}

func TestLoginWithoutAnyTokenSaysWhatToDo(t *testing.T) {
	for name, token := range map[string]func() (string, error){"none": nil, "empty file": withToken("")} {
		o, _ := options()
		o.View, o.Token = "login", token
		_, addr := start(t, o)
		status, _, body := request(t, "http://"+addr+"/api/v1/status?token=x")
		if status != http.StatusUnauthorized || code(body) != "login_required" || !strings.Contains(body, "token_file") {
			t.Errorf("%s: %d %s, want 401 login_required that names token_file", name, status, body)
		}
	}
}

func TestTokenFileThatCannotBeRead(t *testing.T) {
	o, log := options()
	var fails atomic.Bool
	fails.Store(true)
	o.View, o.Token = "login", func() (string, error) {
		if fails.Load() {
			return "", errors.New("open /etc/fieldgate/token: permission denied")
		}
		return canary, nil
	}
	_, addr := start(t, o)
	for range 3 {
		status, _, body := request(t, "http://"+addr+"/api/v1/status?token=x")
		if status != http.StatusServiceUnavailable || code(body) != "token_unreadable" || strings.Contains(body, "/etc") {
			t.Errorf("%d %s, want 503 token_unreadable without the path", status, body)
		}
	}
	if got := strings.Count(log.String(), "permission denied"); got != 1 {
		t.Errorf("the log says so %d times, want once:\n%s", got, log)
	}
	fails.Store(false)
	if status, _, _ := request(t, "http://"+addr+"/api/v1/status?token="+canary); status != http.StatusOK {
		t.Errorf("with the file back: %d, want 200", status)
	}
	if !strings.Contains(log.String(), "can be read again") {
		t.Errorf("the log does not tell the recovery:\n%s", log)
	}
}

func TestGuessingIsLimitedPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &access{token: withToken(canary), wrong: map[netip.Prefix]*rate.Limiter{}}
		try := func(from, token string) int {
			r := httptest.NewRequest(http.MethodGet, "/ws?token="+token, nil)
			r.RemoteAddr = from
			status, _ := a.check(r)
			return status
		}
		for i := range triesAtOnce {
			if got := try("192.0.2.1:1000", "wrong"); got != http.StatusUnauthorized {
				t.Fatalf("guess %d: %d, want 401", i+1, got)
			}
		}
		for _, token := range []string{"wrong", canary} {
			if got := try("192.0.2.1:1001", token); got != http.StatusTooManyRequests {
				t.Errorf("guess with %q after too many: %d, want 429", token, got)
			}
		}
		for _, other := range []string{"192.0.2.2:1", "[2001:db8::1]:1"} {
			if got := try(other, canary); got != 0 {
				t.Errorf("another address is refused with %d", got)
			}
		}
		time.Sleep(triesEvery) // virtual
		if got := try("192.0.2.1:1002", canary); got != 0 {
			t.Errorf("after waiting: %d, want access", got)
		}
	})
}

func TestAddressesRememberedAreBounded(t *testing.T) {
	a := &access{token: withToken(canary), wrong: map[netip.Prefix]*rate.Limiter{}}
	addr := netip.MustParseAddr("10.0.0.0")
	for range 3 * triesKept {
		addr = addr.Next()
		a.compare("right", "wrong", netip.PrefixFrom(addr, 32))
	}
	if len(a.wrong) != triesKept {
		t.Errorf("%d addresses are remembered, want %d", len(a.wrong), triesKept)
	}
}

func TestOneIPv6SubscriberIsOneAddress(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	prefix := func(from string) netip.Prefix {
		r.RemoteAddr = from
		return clientAddr(r)
	}
	if prefix("[2001:db8::1]:1") != prefix("[2001:db8::ffff:2]:2") {
		t.Error("two addresses of one /64 count apart")
	}
	if prefix("[::ffff:192.0.2.1]:1") != prefix("192.0.2.1:2") {
		t.Error("an IPv4 address counts apart when it is mapped into IPv6")
	}
}
