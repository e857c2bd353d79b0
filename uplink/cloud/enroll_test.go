package cloud_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A one-time token becomes a credential, once; the same request within ten
// minutes gets the same answer, in the KV as in files.
func TestEnroll(t *testing.T) {
	for _, kv := range []bool{false, true} {
		g := inGatehouse(t, 1, kv, 0)
		q := map[string]string{"token": g.once(time.Hour), "install_id": "0a0b"}
		status, first := g.post("/v1/enroll", card{}, q)
		if status != 200 || first["gateway_id"] != "plant_7" || !strings.HasPrefix(first["token"], "fg1_plant_7_") {
			t.Fatalf("answered %d %v", status, first)
		}
		if status, again := g.post("/v1/enroll", card{}, q); status != 200 || again["token"] != first["token"] {
			t.Errorf("the second time %d %v", status, again)
		}
		g.wants(card{token: first["token"]}, http.StatusSwitchingProtocols, "the token")
		q["install_id"] = "0c"
		if status, answer := g.post("/v1/enroll", card{}, q); status != 403 || answer["token"] != "" ||
			!strings.Contains(answer["message"], "one-time token") {
			t.Errorf("another board with the same token: %d %v", status, answer)
		}
		late := map[string]string{"token": g.once(-time.Second), "install_id": "0d"}
		if status, answer := g.post("/v1/enroll", card{}, late); status != 403 {
			t.Errorf("an expired token: %d %v", status, answer)
		}
		g.audit("enrolled", "enrolment_refused")
	}
}

func TestEnrollBadRequests(t *testing.T) {
	g := inGatehouse(t, 1, false, 0)
	token := g.once(time.Hour)
	_, good := csr(t)
	for name, c := range map[string]struct {
		q      map[string]string
		status int
	}{
		"no token":            {map[string]string{}, 403},
		"another's name":      {map[string]string{"token": strings.Replace(token, "plant_7", "plant_8", 1)}, 403},
		"half a token":        {map[string]string{"token": token[:len(token)-2]}, 403},
		"a real token":        {map[string]string{"token": "fg1_plant_7_" + strings.Repeat("0", 64)}, 403},
		"install_id no hex":   {map[string]string{"token": token, "install_id": "xx"}, 400},
		"csr no PEM":          {map[string]string{"token": token, "csr": "hello"}, 400},
		"csr cut":             {map[string]string{"token": token, "csr": good[:100] + good[120:]}, 400},
		"much too long a csr": {map[string]string{"token": token, "csr": strings.Repeat("x", 20<<10)}, 400},
	} {
		if status, answer := g.post("/v1/enroll", card{}, c.q); status != c.status || strings.Contains(answer["message"], token) {
			t.Errorf("%s: %d %v, want %d", name, status, answer, c.status)
		}
	}
	// "another's name" must not have used the token up for its owner: it names
	// the wrong gateway, but who has it, has it.
	g.wants(card{token: "fg1_plant_7_" + strings.Repeat("0", 64)}, 401, "no such gateway")
}

// Of many boards that come with one token at the same time, one gets in.
func TestEnrollTogether(t *testing.T) {
	for _, kv := range []bool{false, true} {
		g := inGatehouse(t, 1, kv, 0)
		token := g.once(time.Hour)
		tokens := make([]string, 8)
		var posting sync.WaitGroup
		for i := range tokens {
			posting.Go(func() {
				_, answer := g.post("/v1/enroll", card{}, map[string]string{"token": token, "install_id": strings.Repeat("0", 2*i)})
				tokens[i] = answer["token"]
			})
		}
		posting.Wait()
		got := 0
		for _, token := range tokens {
			if token != "" {
				got++
			}
		}
		if got != 1 {
			t.Errorf("%d boards were enrolled with one token: %q", got, tokens)
		}
	}
}

// Two keys are valid while one is exchanged for the other; the first use of
// the new one ends the old, and the session that it opened.
func TestRotate(t *testing.T) {
	g := inGatehouse(t, 1, false, 0)
	token, err := g.creds.Add("plant_7")
	if err != nil {
		t.Fatal(err)
	}
	old := card{token: token}
	_, unused := g.post("/v1/credentials/rotate", old, map[string]string{})
	status, answer := g.post("/v1/credentials/rotate", old, map[string]string{}) // as if the first answer was lost
	if status != 200 || answer["token"] == "" || answer["token"] == token {
		t.Fatalf("answered %d %v", status, answer)
	}
	next := card{token: answer["token"]}
	g.wants(card{token: unused["token"]}, 401, "what was offered before")
	g.wants(old, http.StatusSwitchingProtocols, "the old one before the new one is used")
	session, _ := g.connect(0, old)
	g.wants(next, http.StatusSwitchingProtocols, "the new one")
	_ = session.SetReadDeadline(time.Now().Add(answerWithin))
	if _, _, err := session.ReadMessage(); err == nil {
		t.Error("the old session goes on")
	}
	g.wants(old, 401, "the old one afterwards")
	g.wants(next, http.StatusSwitchingProtocols, "the new one again")
	if status, _ := g.post("/v1/credentials/rotate", old, map[string]string{}); status != 401 {
		t.Errorf("the old one rotates: %d", status)
	}
	g.audit("rotation", "auth_failed", "rotated")
}

// A certificate opens a session as a token does; it is exchanged for the next
// one also when it has just expired, and then opens nothing else.
func TestCertificates(t *testing.T) {
	g := inGatehouse(t, 1, true, time.Hour)
	key, request := csr(t)
	q := map[string]string{"token": g.once(time.Hour), "install_id": "0a", "csr": request}
	_, answer := g.post("/v1/enroll", card{}, q)
	first := withCertificate(t, key, answer["certificate"])
	if _, again := g.post("/v1/enroll", card{}, q); again["certificate"] != answer["certificate"] {
		t.Error("the second answer is another certificate")
	}
	g.wants(first, http.StatusSwitchingProtocols, "the certificate")
	g.wants(card{}, 401, "nothing at all")
	stranger, _ := csr(t)
	g.wants(card{cert: selfSigned(t, stranger)}, 401, "a certificate of one's own")

	key2, request := csr(t)
	status, answer := g.post("/v1/credentials/rotate", first, map[string]string{"csr": request})
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	second := withCertificate(t, key2, answer["certificate"])
	g.wants(first, http.StatusSwitchingProtocols, "the old certificate")
	g.wants(second, http.StatusSwitchingProtocols, "the new certificate")
	g.wants(first, 401, "the old certificate afterwards")
	// From a certificate to a token is a rotation too.
	_, answer = g.post("/v1/credentials/rotate", second, map[string]string{})
	g.wants(card{token: answer["token"]}, http.StatusSwitchingProtocols, "the token")
	g.wants(second, 401, "the certificate after the token")
}

func selfSigned(t *testing.T, key *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestExpiredCertificate(t *testing.T) {
	for life, rotates := range map[time.Duration]int{-time.Minute: 200, -29 * 24 * time.Hour: 200, -31 * 24 * time.Hour: 401} {
		g := inGatehouse(t, 1, false, life)
		key, request := csr(t)
		_, answer := g.post("/v1/enroll", card{}, map[string]string{"token": g.once(time.Hour), "csr": request})
		expired := withCertificate(t, key, answer["certificate"])
		g.wants(expired, 401, "an expired certificate")
		if status, _ := g.post("/v1/credentials/rotate", expired, map[string]string{}); status != rotates {
			t.Errorf("%v after its end a certificate is exchanged: %d, want %d", -life, status, rotates)
		}
	}
}

// A gateway that is removed loses its session within seconds, on every server.
func TestRevoked(t *testing.T) {
	for _, kv := range []bool{false, true} {
		g := inGatehouse(t, 2, kv, 0)
		token, err := g.creds.Add("plant_7")
		if err != nil {
			t.Fatal(err)
		}
		session, _ := g.connect(1, card{token: token})
		if err := g.creds.Remove("plant_7"); err != nil {
			t.Fatal(err)
		}
		lateness, began := e2e.Lateness(t), time.Now()
		_ = session.SetReadDeadline(began.Add(answerWithin))
		_, _, err = session.ReadMessage()
		if took := time.Since(began); !websocket.IsCloseError(err, wire.CloseForbidden) || took > 5*time.Second+3*lateness() {
			t.Errorf("after %v: %v", took, err)
		}
		g.wants(card{token: token}, 401, "afterwards")
		if _, err := g.creds.Add("plant_7"); err != nil {
			t.Error(err)
		}
		g.wants(card{token: token}, 401, "the old token of one added anew")
		g.audit("revoked", "auth_failed")
	}
}
