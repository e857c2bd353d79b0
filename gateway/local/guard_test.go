package local

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// paths gives an address that each route of the mux serves.
func paths(s *Server) map[string]route {
	list := map[string]route{}
	for _, r := range s.routes() {
		path := strings.TrimSuffix(r.pattern, "{$}")
		if r.pattern == "/" {
			path = "/nothing/here"
		}
		list[path] = r
	}
	return list
}

var handshake = []string{
	"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==",
}

// No route, whether it shows data or not, answers what a foreign page makes a
// browser send: cross-site WebSocket hijacking and DNS rebinding.
func TestForeignPagesGetNothing(t *testing.T) {
	cases := []struct {
		name    string
		headers []string
		code    string
	}{
		{"rebound name", []string{"Host", "evil.example"}, "host_not_allowed"},
		{"rebound name and its own origin", []string{"Host", "evil.example:8080", "Origin", "http://evil.example:8080"}, "host_not_allowed"},
		{"name that begins like ours", []string{"Host", "localhost.evil.example"}, "host_not_allowed"},
		{"name that looks like an address", []string{"Host", "127.0.0.1.evil.example"}, "host_not_allowed"},
		{"user part", []string{"Host", "localhost@evil.example"}, "host_not_allowed"},
		{"foreign origin", []string{"Origin", "https://evil.example"}, "origin_not_allowed"},
		{"origin of another port", []string{"Origin", "http://127.0.0.1:1"}, "origin_not_allowed"},
		{"origin of another port than the default", []string{"Host", "127.0.0.1:80", "Origin", "http://127.0.0.1:8080"}, "origin_not_allowed"},
		{"origin of the other default port", []string{"Host", "127.0.0.1:80", "Origin", "https://127.0.0.1"}, "origin_not_allowed"},
		{"foreign origin behind a proxy that leaves the port out",
			[]string{"Host", "127.0.0.1", "Origin", "http://192.0.2.1:8080"}, "origin_not_allowed"},
		{"origin with a user", []string{"Host", "127.0.0.1", "Origin", "http://a@127.0.0.1"}, "origin_not_allowed"},
		{"opaque origin", []string{"Origin", "null"}, "origin_not_allowed"},
		{"origin of a file", []string{"Origin", "file://"}, "origin_not_allowed"},
		{"origin of an extension", []string{"Origin", "chrome-extension://127.0.0.1"}, "origin_not_allowed"},
		{"empty origin", []string{"Origin", ""}, "origin_not_allowed"},
	}
	o, _ := options()
	s, addr := start(t, o)
	for path := range paths(s) {
		for _, c := range cases {
			for _, upgrade := range [][]string{nil, handshake} {
				status, _, body := request(t, "http://"+addr+path, append(c.headers, upgrade...)...)
				if status != http.StatusForbidden || code(body) != c.code {
					t.Errorf("%s %s (upgrade: %v): %d %s, want 403 %s", path, c.name, upgrade != nil, status, body, c.code)
				}
			}
		}
	}
}

func TestNamesOfTheGatewayAreAllowed(t *testing.T) {
	o, _ := options()
	o.Hosts = []string{"Plant-7.example.com"}
	_, addr := start(t, o)
	_, port, _ := strings.Cut(addr, ":")
	hosts := []string{
		addr, "127.0.0.1", "192.168.7.9:8080", "[::1]:" + port, "[fe80::1]", "localhost", "LOCALHOST:8080", "localhost.",
		"plant-7.EXAMPLE.com", "plant-7.example.com:80",
	}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		hosts = append(hosts, name, short, short+".local", short+".local:8080")
	}
	for _, host := range hosts {
		for _, headers := range [][]string{
			{"Host", host}, {"Host", host, "Origin", "http://" + host}, {"Host", host, "Origin", "https://" + host},
		} {
			if status, _, body := request(t, "http://"+addr+"/healthz", headers...); status != http.StatusOK {
				t.Errorf("%q: %d %s", headers, status, body)
			}
		}
	}
}

// Host and Origin name the same server although the one leaves the port out,
// or writes the default one, or writes the address in another way. The rule is
// one for all routes, /ws included.
func TestPagesBehindProxiesAreOurOwn(t *testing.T) {
	o, _ := options()
	o.Hosts = []string{"plant"}
	s, addr := start(t, o)
	for _, c := range [][2]string{ // Host, Origin
		{"plant", "http://plant:18980"}, {"plant", "https://plant:8443"}, {"127.0.0.1", "http://127.0.0.1:18980"}, {"[::1]", "http://[::1]:8080"},
		{"plant:80", "http://plant"}, {"plant", "http://plant:80"}, {"plant:443", "https://plant"}, {"plant", "https://plant:443"},
		{"plant.", "http://plant:18980"}, {"Plant:8080", "http://plant:8080"}, {"[0:0::1]:8080", "http://[::1]:8080"},
		{"[fe80::1]:8080", "http://[fe80::1%25eth0]:8080"}, {"[fe80::1%25eth0]:8080", "http://[fe80::1%25eth0]:8080"},
	} {
		for path, r := range paths(s) {
			want := func(status int) bool {
				return status == http.StatusOK || status == http.StatusNotFound || status == http.StatusBadRequest
			}
			headers := []string{"Host", c[0], "Origin", c[1]}
			if path == "/ws" {
				headers = append(headers, handshake...)
				want = func(status int) bool { return status == http.StatusSwitchingProtocols }
			}
			if status, _, body := request(t, "http://"+addr+path, headers...); !want(status) {
				t.Errorf("%s for Host %s and Origin %s: %d %s (route %v)", path, c[0], c[1], status, body, r.pattern)
			}
		}
	}
}

func TestWebSocketOfOurOwnPageIsServed(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", http.Header{"Origin": {"http://" + addr}})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestHeadersThatProtectEveryAnswer(t *testing.T) {
	o, _ := options()
	s, addr := start(t, o)
	for path := range paths(s) {
		_, h, _ := request(t, "http://"+addr+path)
		for name, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") ||
			!strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, policy)
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s lets other sites read it", path)
		}
	}
}

func TestOnlyGetIsServed(t *testing.T) {
	o, _ := options()
	s, addr := start(t, o)
	for path := range paths(s) {
		resp, err := http.Post("http://"+addr+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
}
