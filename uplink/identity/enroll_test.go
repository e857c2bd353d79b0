package identity

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const onceToken = "fge1_g_00112233445566778899aabbccddeeff"

// A cloud whose first answers are lost gets the same request again, to the
// byte, until the credential is on the card; only then what was sent is gone.
func TestEnrollAgainAfterALostAnswer(t *testing.T) {
	var asked []string
	cloud := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.URL.Path+" "+string(body))
		if len(asked) < 3 {
			panic(http.ErrAbortHandler)
		}
		_ = json.NewEncoder(w).Encode(Grant{GatewayID: "g", Token: "fg1_g_new"})
	}))
	defer cloud.Close()
	dir := t.TempDir()
	// There is one already: it stays beside the new one until that was used.
	if err := save(filepath.Join(dir, File), contents{Keys: []key{{Token: "fg1_g_old"}}}); err != nil {
		t.Fatal(err)
	}
	e := Enrolment{URL: cloud.URL + "/any/path", Token: onceToken, Dir: dir, Client: cloud.Client()}
	for i := range 2 {
		if _, err := e.Enroll(t.Context()); err == nil || !strings.Contains(err.Error(), "run the same command again") ||
			strings.Contains(err.Error(), onceToken) {
			t.Fatalf("try %d: %v", i, err)
		}
		if info, err := os.Stat(filepath.Join(dir, pendingFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("what was sent: %v, %v", info, err)
		}
	}
	if _, err := e.Enroll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked[0] != asked[1] || asked[1] != asked[2] || !strings.HasPrefix(asked[0], "/v1/enroll {") {
		t.Errorf("asked %q", asked)
	}
	if _, err := os.Stat(filepath.Join(dir, pendingFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was sent is still there: %v", err)
	}
	held, err := load(filepath.Join(dir, File))
	if err != nil || len(held.Keys) != 2 || held.Keys[0].Token != "fg1_g_old" || held.Keys[1].Token != "fg1_g_new" {
		t.Errorf("%+v, %v", held, err)
	}
	// The same answer once more, as after a power cut before the file was gone.
	if _, err := e.Enroll(t.Context()); err != nil {
		t.Error(err)
	}
	if held, err = load(filepath.Join(dir, File)); err != nil || len(held.Keys) != 2 || held.Keys[0].Token != "fg1_g_old" {
		t.Errorf("%+v, %v", held, err)
	}
}

// What a cloud says in place of a credential: told in words, without secrets;
// what there was stays.
func TestEnrollIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		status       int
		answer, says string
	}{
		"used":          {403, `{"code":"token","message":"the token ` + onceToken + ` is used"}`, "the token *** is used"},
		"no such path":  {404, "<html>", "does not enrol gateways"},
		"a redirect":    {302, "", "does not enrol gateways"},
		"no credential": {200, `{"gateway_id":"g"}`, "holds no token"},
		"no JSON":       {200, "hello", "no credential"},
	} {
		cloud := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		dir := t.TempDir()
		_, err := Enrolment{URL: cloud.URL, Token: onceToken, Dir: dir, Client: cloud.Client()}.Enroll(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), onceToken) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, File)); err == nil {
			t.Errorf("%s: there is a credential", name)
		}
		cloud.Close()
	}
}

// A key never leaves the board, and is not made anew for the same token.
func TestCertificateRequestIsTheSame(t *testing.T) {
	dir := t.TempDir()
	e := Enrolment{Token: onceToken, Certificate: true, Dir: dir}
	first, err := e.request()
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.request()
	if err != nil || again.CSR != first.CSR || again.InstallID != first.InstallID || again.private != first.private {
		t.Errorf("%v; %+v", err, again)
	}
	if body, _ := json.Marshal(first); strings.Contains(string(body), "PRIVATE") || strings.Contains(first.CSR, "PRIVATE") {
		t.Errorf("%s", body)
	}
	e.Token = "fge1_g_ffffffffffffffffffffffffffffffff"
	if other, err := e.request(); err != nil || other.CSR == first.CSR {
		t.Errorf("another token, the same key: %v", err)
	}
}

// An old token that the configuration still names does not take the place of
// what enrolment gave; another one that an operator puts there later does.
func TestEnrollBesideASeed(t *testing.T) {
	cloud := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Grant{GatewayID: "g", Token: "fg1_g_new"})
	}))
	defer cloud.Close()
	dir, seed := t.TempDir(), "fg1_g_seed"
	read := func() (string, error) { return seed, nil }
	e := Enrolment{URL: cloud.URL, Token: onceToken, Dir: dir, Seed: read, Client: cloud.Client()}
	if _, err := e.Enroll(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := New(Options{Dir: dir, Seed: read, Log: quiet})
	for _, want := range []string{"fg1_g_new", "fg1_g_seed", "fg1_g_new"} { // each refused in turn
		if token, _, err := k.Show(); token != want || err != nil {
			t.Errorf("shows %q, %v, want %q", token, err, want)
		}
		k.Refused()
	}
	seed = "fg1_g_later"
	if token, _, err := k.Show(); token != seed || err != nil {
		t.Errorf("shows %q, %v", token, err)
	}
}
