package local

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway/health"
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
	if !strings.Contains(log.String(), "can be used again") {
		t.Errorf("the log does not tell the recovery:\n%s", log)
	}
}

func newTestAccess() *access {
	return newAccess(Options{Token: withToken(canary)}, health.New(slog.New(slog.DiscardHandler)))
}

// A right token always passes, also from an address that guessed too often.
func TestGuessingIsLimitedPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAccess()
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
		if got := try("192.0.2.1:1001", "wrong"); got != http.StatusTooManyRequests {
			t.Errorf("guess after too many: %d, want 429", got)
		}
		if got := try("192.0.2.2:1", "wrong"); got != http.StatusUnauthorized {
			t.Errorf("another address: %d, want 401", got)
		}
		for _, from := range []string{"192.0.2.1:1001", "192.0.2.2:1", "[2001:db8::1]:1"} {
			if got := try(from, canary); got != 0 {
				t.Errorf("the right token from %s is refused with %d", from, got)
			}
		}
		time.Sleep(triesEvery) // virtual
		if got := try("192.0.2.1:1002", "wrong"); got != http.StatusUnauthorized {
			t.Errorf("guess after waiting: %d, want 401", got)
		}
	})
}

func TestAddressesRememberedAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes in which one could be forgotten
		a := newTestAccess()
		addr := netip.MustParseAddr("10.0.0.0")
		for range 3 * triesKept {
			addr = addr.Next()
			a.refuse(netip.PrefixFrom(addr, 32))
		}
		if len(a.wrong) != triesKept {
			t.Errorf("%d addresses are remembered, want %d", len(a.wrong), triesKept)
		}
	})
}

// Wrong tokens leave one line at their begin and one at their end, a condition
// while they come, and a counter.
func TestWrongTokensAreTold(t *testing.T) {
	o, log := options()
	o.View, o.Token, o.Conditions = "login", withToken(canary), health.New(o.Log)
	inVirtualTime(t, o, func(s *Server, l *pipeListener) {
		synctest.Wait()
		try := func(token string) {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/status", nil)
			r.Host, r.RemoteAddr = "localhost", "192.0.2.7:1000"
			r.Header.Set("Authorization", "Bearer "+token)
			s.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		try("wrong-canary-of-this-test")
		list := o.Conditions.List()
		if len(list) != 1 || list[0].Code != conditionWrong || !strings.Contains(list[0].Sentence, "A wrong token") ||
			!strings.Contains(list[0].Sentence, "192.0.2.7") {
			t.Fatalf("after one wrong token the conditions are %+v", list)
		}
		for range 99 {
			try("wrong-canary-of-this-test")
		}
		try(canary)
		time.Sleep(lookEvery) // virtual
		synctest.Wait()
		if list := o.Conditions.List(); len(list) != 1 || !strings.Contains(list[0].Sentence, "100 wrong tokens") {
			t.Errorf("after a hundred wrong tokens the conditions are %+v", list)
		}
		var text bytes.Buffer
		if s.writeOwn(&text); !strings.Contains(text.String(), "fieldgate_local_wrong_tokens_total 100\n") {
			t.Errorf("the metrics say\n%s", &text)
		}
		time.Sleep(wrongFor + lookEvery)
		synctest.Wait()
		if list := o.Conditions.List(); len(list) != 0 {
			t.Errorf("after ten quiet minutes the conditions are %+v", list)
		}
	})
	if n := strings.Count(log.String(), conditionWrong); n != 2 || strings.Contains(log.String(), "canary") {
		t.Errorf("the log tells it %d times, want 2, and must tell no token:\n%s", n, log)
	}
}

// Tokens that can be guessed, or that nobody can send, open nothing, and the
// reason is told to the one who asks, to the log and as a condition.
func TestUnusableTokensAreRefused(t *testing.T) {
	for token, why := range map[string]string{"x": "too short", "0123456789abcde": "at least 16",
		"two words of a token": "space", "0\x001\x002\x003\x004\x005\x006\x007\x00": "cannot be seen"} {
		o, log := options()
		o.View, o.Token, o.Conditions = "login", withToken(token), health.New(o.Log)
		_, addr := start(t, o)
		status, _, body := request(t, "http://"+addr+"/api/v1/status?token="+url.QueryEscape(token))
		if status != http.StatusServiceUnavailable || code(body) != "token_unusable" || !strings.Contains(body, why) {
			t.Errorf("%q: %d %s, want 503 token_unusable with %q", token, status, body, why)
		}
		if list := o.Conditions.List(); len(list) != 1 || list[0].Code != conditionToken || !strings.Contains(list[0].Sentence, why) {
			t.Errorf("%q: the conditions are %+v", token, list)
		}
		if n := strings.Count(log.String(), conditionToken); n != 1 {
			t.Errorf("%q: the log tells it %d times:\n%s", token, n, log)
		}
	}
}

// Characters that a header or a query carries in another form are the same token.
func TestTokensWithOddCharacters(t *testing.T) {
	const odd = "Schlüssel+zum/Kesselhaus=&%"
	o, _ := options()
	o.View, o.Token = "login", withToken(odd)
	_, addr := start(t, o)
	for _, r := range [][]string{{"", "Authorization", "Bearer " + odd}, {"?token=" + url.QueryEscape(odd)},
		{"?token=" + strings.ReplaceAll(url.QueryEscape(odd), "%2B", "+")}} {
		if status, _, body := request(t, "http://"+addr+"/api/v1/status"+r[0], r[1:]...); status != http.StatusOK {
			t.Errorf("%q: %d %s", r, status, body)
		}
	}
}

// Behind a proxy on the board everybody has an address of his own, as far as
// the proxy tells it; nobody else can tell another's.
func TestAddressesBehindAProxy(t *testing.T) {
	for _, c := range []struct{ peer, forwarded, want string }{
		{"127.0.0.1:1", "192.0.2.9", "192.0.2.9/32"}, {"[::1]:1", "10.0.0.1, 192.0.2.9", "192.0.2.9/32"},
		{"127.0.0.1:1", "2001:db8::9", "2001:db8::/64"},
		{"127.0.0.1:1", "unknown", "127.0.0.1/32"}, {"127.0.0.1:1", "", "127.0.0.1/32"}, {"192.0.2.1:1", "192.0.2.9", "192.0.2.1/32"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := clientAddr(r).String(); got != c.want {
			t.Errorf("%s with %q counts for %s, want %s", c.peer, c.forwarded, got, c.want)
		}
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
