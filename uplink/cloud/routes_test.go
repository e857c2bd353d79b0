package cloud_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud"
)

// public are the routes that ask for no operator's token: they are for
// gateways, for health checks, or take a ticket too.
var public = map[string]bool{
	"GET /v1/gateway": true, "POST /v1/enroll": true, "POST /v1/credentials/rotate": true,
	"GET /healthz": true, "GET /readyz": true,
}

var (
	route  = regexp.MustCompile(`pattern: "([A-Z]+ /[^"]*)"`)
	inPath = regexp.MustCompile(`{\w+}`)
)

// routes gives every route that the sources of this package serve.
func routes(t *testing.T) []string {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range route.FindAllStringSubmatch(string(text), -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// Every route, also one that comes later, refuses who does not show the
// operator's token; a gateway's credential is none.
func TestEveryRouteWantsItsToken(t *testing.T) {
	s := newSite(t, nil)
	server := cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t),
	})
	all := routes(t)
	if len(all) < 20 {
		t.Fatalf("%d routes were found: %q", len(all), all)
	}
	for _, pattern := range all {
		if public[pattern] {
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		path = inPath.ReplaceAllString(path, "plant_7")
		for _, h := range []http.Header{
			{}, auth(""), auth("x"), auth(s.token), auth(operatorToken + "0"), auth(operatorToken[1:]),
			{"Authorization": {"Basic " + operatorToken}},
		} {
			r := httptest.NewRequest(method, path, strings.NewReader("{}"))
			r.Header = h
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %v: %d %s", pattern, h, w.Code, w.Body)
			}
		}
	}
}

// A server that was given no token serves no operator, instead of all.
func TestNoOperatorToken(t *testing.T) {
	s := newSite(t, nil)
	server := cloud.New(cloud.Options{Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, Logger: quiet(t)})
	for _, path := range []string{"/v1/gateways", "/v1/live"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header = auth("")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
