package cloud_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// ask gives the answer to a request of an operator, or of whom h says.
func (s *site) ask(method, path string, h http.Header) (status int, code string, head http.Header) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, strings.NewReader("{}"))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = h
	w, err := s.http.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var refused struct{ Code, Message string }
	if w.StatusCode >= 400 {
		if err := json.Unmarshal(text, &refused); err != nil || refused.Code == "" || refused.Message == "" {
			s.t.Errorf("%s %s: %d %q is not the JSON of a refusal", method, path, w.StatusCode, text)
		}
	}
	return w.StatusCode, refused.Code, w.Header
}

// Every route refuses a parameter that it does not know, rather than answer
// another question than was meant.
func TestEveryRouteRefusesParametersItDoesNotKnow(t *testing.T) {
	s := newSite(t, nil)
	server := cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t),
	})
	for _, pattern := range routes(t) {
		if public[pattern] {
			continue // for machines that cannot be told
		}
		method, path, _ := strings.Cut(pattern, " ")
		path = inPath.ReplaceAllString(path, "plant_7")
		for _, query := range []string{"frm=-1h", "From=-1h", "token=x", "limit=1;event=x", "x=%zz"} {
			r := httptest.NewRequest(method, path+"?"+query, strings.NewReader("{}"))
			r.Header = auth(operatorToken)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"bad_query"`) {
				t.Errorf("%s?%s: %d %s", pattern, query, w.Code, w.Body)
			}
		}
	}
}

// What is asked in a way that cannot be meant is refused, and says why.
func TestQuestionsThatCannotBeMeant(t *testing.T) {
	s := newSite(t, nil)
	const g = "/v1/gateways/plant_7"
	for path, want := range map[string]int{
		g + "/readings?from=2026-11-23T06:00:00+01:00":                  200, // the plus arrives as a space
		g + "/readings?from=2026-11-23T06:00:00%2B01:00":                200,
		g + "/completeness?from=2026-11-23T06:00:00+01:00&to=0s":        200,
		g + "/readings?from=-1h&from=-2h":                               400,
		g + "/readings?from=":                                           400,
		g + "/readings?from=1h":                                         400,
		g + "/readings?from_seq=9&to_seq=8":                             400,
		g + "/readings?from_seq=-1":                                     400,
		g + "/readings?device=boil.er":                                  400,
		g + "/readings?quantity=a&quantity=%20":                         400,
		g + "/readings?format=xml":                                      400,
		g + "/readings?epoch=00000000000000000000000000000001":          404,
		g + "/completeness?epoch=00000000000000000000000000000001":      404,
		g + "/events?from_seq=1":                                        400,
		g + "/commands?all=yes":                                         400,
		g + "/commands?all=false":                                       200,
		g + "/commands/x?wait=1":                                        400,
		"/v1/gateways/plant_8/readings":                                 404,
		"/v1/gateways/plant_8/last":                                     404,
		"/v1/gateways/plant_8/config":                                   404,
		"/v1/gateways/plant_8/commands":                                 404,
		"/v1/audit?gateway=plant_8":                                     404,
		"/v1/audit?gateway=plant.8":                                     400,
		"/v1/audit?gateway=plant_7":                                     200,
		"/v1/audit?event=auth_faild":                                    400,
		"/v1/audit?event=auth_failed":                                   200,
		"/v1/audit?limit=10001":                                         400,
		"/v1/audit?limit=x":                                             400,
		"/v1/live?gateway=plant_8":                                      404,
		"/v1/live?gateways=plant_7":                                     400,
		"/v1/live?gateway=plant_7":                                      426,
		"/v1/live?gateway=plant_7&gateway=plant_7&quantity=temperature": 426,
		"/v1/gateway_":                                                  404,
		"/v1/gateways/":                                                 404,
		"/v2/gateways":                                                  404,
		"/":                                                             404,
		"/v1/gateways/plant_7/reading":                                  404,
		"/v1/ws-ticket":                                                 405,
		"/v1/enroll":                                                    405,
	} {
		if status, code, _ := s.ask("GET", path, auth(operatorToken)); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, code, want)
		}
	}
	if status, _, h := s.ask("DELETE", "/v1/gateways", auth(operatorToken)); status != 405 || h.Get("Allow") != "GET" {
		t.Errorf("DELETE: %d, allowed %q", status, h.Get("Allow"))
	}
	if status, code, _ := s.ask("PUT", g+"/config?again=maybe", auth(operatorToken)); status != 400 {
		t.Errorf("again=maybe: %d %s", status, code)
	}
}

// Who shows a wrong token is found in the audit log, once a minute for each
// address with how often, and in the figures; who shows none only there.
func TestWrongOperatorTokensLeaveATrace(t *testing.T) {
	s := newSite(t, nil)
	server := cloud.New(cloud.Options{Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log, Credentials: s.creds,
		OperatorToken: operatorToken, Logger: quiet(t)})
	try := func(from string, h http.Header) {
		r := httptest.NewRequest("GET", "/v1/gateways", nil)
		r.Header, r.RemoteAddr = h, from
		w := httptest.NewRecorder()
		if server.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for range 100 {
		try("192.0.2.1:1000", auth("wrong-secret"))
		try("192.0.2.1:1001", http.Header{"Authorization": {"Basic wrong-secret"}})
	}
	try("192.0.2.2:1000", auth("wrong-secret"))
	try("192.0.2.3:1000", http.Header{})
	r := httptest.NewRequest("GET", "/v1/live", nil)
	r.Header.Set("Sec-WebSocket-Protocol", "fieldgate.dash.v1.json, fieldgate.ticket.used-up")
	r.RemoteAddr = "192.0.2.4:1000"
	server.ServeHTTP(httptest.NewRecorder(), r)
	w := httptest.NewRecorder()
	r = httptest.NewRequest("GET", "/metrics", nil)
	r.Header = auth(operatorToken)
	server.ServeHTTP(w, r)
	for _, line := range []string{`auth_failures_total{reason="operator"} 202`, `auth_failures_total{reason="operator_none"} 1`} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("/metrics has no %s", line)
		}
	}
	server.FlushAudit(t.Context()) // as Serve does, to its end
	counts := map[string]int{}
	for doc, err := range s.log.List(t.Context(), "audit") {
		var e cloud.AuditEntry
		if err != nil || json.Unmarshal(doc.Body, &e) != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(doc.Body), "secret") || strings.Contains(string(doc.Body), "used-up") {
			t.Errorf("the entry repeats what was shown: %s", doc.Body)
		}
		if e.Event == "operator_refused" {
			host, _, _ := strings.Cut(e.Details["remote"], ":")
			counts[host] += max(1, e.Count)
		}
	}
	if counts["192.0.2.1"] != 200 || counts["192.0.2.2"] != 1 || counts["192.0.2.3"] != 0 || counts["192.0.2.4"] != 1 {
		t.Errorf("the audit log has %v", counts)
	}
}

// Pages of the origins that are allowed may ask for a ticket and read what
// there is of gateways; others may not, and nobody may do more.
func TestPagesOfOtherOrigins(t *testing.T) {
	s := newSite(t, nil)
	const ours = "https://ops.example.com"
	server := cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t),
		Origins: []string{ours, "http://localhost:3000"},
	})
	ask := func(method, path, origin, wants string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Origin", origin)
		if wants != "" {
			r.Header.Set("Access-Control-Request-Method", wants)
			r.Header.Set("Access-Control-Request-Headers", "authorization")
		} else {
			r.Header.Set("Authorization", "Bearer "+operatorToken)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		path, method, origin string
		allowed              bool
	}{
		{"/v1/ws-ticket", "POST", ours, true},
		{"/v1/ws-ticket", "POST", "http://localhost:3000", true},
		{"/v1/gateways", "GET", ours, true},
		{"/v1/gateways/plant_7/readings?from=-1h", "GET", ours, true},
		{"/v1/gateways/plant_7/commands", "POST", ours, false},
		{"/v1/gateways/plant_7/config", "PUT", ours, false},
		{"/v1/audit", "GET", ours, false},
		{"/metrics", "GET", ours, false},
		{"/v1/gateway", "GET", ours, false},
		{"/v1/ws-ticket", "POST", "https://ops.example.com:8443", false},
		{"/v1/ws-ticket", "POST", "http://ops.example.com", false},
		{"/v1/ws-ticket", "POST", "https://ops.example.com.evil.test", false},
		{"/v1/ws-ticket", "POST", "https://evil.test/https://ops.example.com", false},
		{"/v1/ws-ticket", "POST", "null", false},
		{"/v1/gateways", "GET", "https://evil.test", false},
	} {
		before := ask("OPTIONS", c.path, c.origin, c.method)
		got := before.Header()
		if allowed := got.Get("Access-Control-Allow-Origin") != ""; allowed != c.allowed || before.Code == http.StatusNoContent != c.allowed {
			t.Errorf("%s %s for %s: %d %v", c.method, c.path, c.origin, before.Code, got)
		}
		if c.allowed && (got.Get("Access-Control-Allow-Origin") != c.origin || got.Get("Access-Control-Allow-Methods") != c.method ||
			!strings.Contains(got.Get("Access-Control-Allow-Headers"), "Authorization")) {
			t.Errorf("%s: %v", c.path, got)
		}
		if got.Get("Access-Control-Allow-Credentials") != "" || got.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", c.path, got)
		}
		if c.method == "GET" && c.path != "/v1/gateway" {
			if w := ask("GET", c.path, c.origin, ""); w.Code != http.StatusOK ||
				w.Header().Get("Access-Control-Allow-Origin") != map[bool]string{true: c.origin}[c.allowed] {
				t.Errorf("GET %s for %s: %d %v", c.path, c.origin, w.Code, w.Header())
			}
		}
	}
	for origin, want := range map[string]int{ours: 426, "https://evil.test": 403, "null": 403} {
		if w := ask("GET", "/v1/live", origin, ""); w.Code != want {
			t.Errorf("/v1/live for %s: %d, want %d", origin, w.Code, want)
		}
	}
}

func TestOriginsAsBrowsersWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"https://ops.example.com":         "https://ops.example.com",
		"https://Ops.Example.com/":        "https://ops.example.com",
		"https://ops.example.com:443":     "https://ops.example.com",
		"http://ops.example.com:80":       "http://ops.example.com",
		"http://ops.example.com:443":      "http://ops.example.com:443",
		"http://localhost:3000":           "http://localhost:3000",
		"http://[::1]:3000":               "http://[::1]:3000",
		"http://[FE80::1%25eth0]:3000":    "http://[fe80::1]:3000",
		"*":                               "",
		"null":                            "",
		"https://*.example.com":           "",
		"ops.example.com":                 "",
		"https://":                        "",
		"https://ops.example.com/page":    "",
		"https://ops.example.com?x":       "",
		"https://ops.example.com#x":       "",
		"https://ops.example.com/?":       "",
		"https://me@ops.example.com":      "",
		"ftp://ops.example.com":           "",
		"wss://ops.example.com":           "",
		"https://bücher.example":          "",
		"https://a.example,https://b.org": "",
		"https://ops.example.com:99999":   "",
	} {
		got, err := cloud.CheckOrigin(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
}
