package cloud_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A gatehouse is a server as it runs in life: TLS of its own, client
// certificates, credentials that others change.
type gatehouse struct {
	*testing.T
	creds keyring.Credentials
	log   *jetstream.Log
	pool  *x509.CertPool
	cert  tls.Certificate // of the servers
	ca    tls.Certificate // of the gateways
	addrs []string        // of each server
}

// inGatehouse starts some servers of one cloud; with kv their credentials
// lie in the log's KV, else in files.
func inGatehouse(t *testing.T, servers int, kv bool, certLife time.Duration) *gatehouse {
	t.Helper()
	dir := t.TempDir()
	g := &gatehouse{T: t, log: openLog(t, dir+"/log", 0), creds: keyring.Credentials{Dir: dir + "/gateways"}, pool: x509.NewCertPool()}
	t.Cleanup(func() { g.log.Close() })
	if kv {
		g.creds = keyring.Credentials{KV: g.log}
	}
	var err error
	if g.cert, err = keyring.Certificate(dir, nil); err != nil {
		t.Fatal(err)
	}
	if g.ca, err = keyring.GatewayCA(dir); err != nil {
		t.Fatal(err)
	}
	pemText, err := os.ReadFile(filepath.Join(dir, keyring.CAFile))
	if err != nil || !g.pool.AppendCertsFromPEM(pemText) {
		t.Fatal(err)
	}
	for range servers {
		g.serve(certLife)
	}
	return g
}

func (g *gatehouse) serve(certLife time.Duration) {
	g.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.Fatal(err)
	}
	server := cloud.New(cloud.Options{
		Log: g.log, Feed: g.log, Gauge: g.log, KV: g.log, PubSub: g.log,
		Credentials: g.creds, OperatorToken: operatorToken, GatewayCA: &g.ca, CertLife: certLife, Logger: quiet(g),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, ln, g.cert) }()
	g.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			g.Error(err)
		}
	})
	g.addrs = append(g.addrs, ln.Addr().String())
}

// A card is what a gateway shows: a token or a certificate.
type card struct {
	token string
	cert  *tls.Certificate
}

func (g *gatehouse) tls(c card) *tls.Config {
	conf := &tls.Config{RootCAs: g.pool}
	if c.cert != nil {
		conf.Certificates = []tls.Certificate{*c.cert}
	}
	return conf
}

func (c card) header() http.Header {
	if c.token == "" {
		return http.Header{}
	}
	return auth(c.token)
}

// post asks the first server, and gives the answer.
func (g *gatehouse) post(path string, c card, q map[string]string) (int, map[string]string) {
	g.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		g.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.Context(), "POST", "https://"+g.addrs[0]+path, bytes.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	req.Header = c.header()
	tr := &http.Transport{TLSClientConfig: g.tls(c), DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	answer := map[string]string{}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		g.Fatal(err)
	}
	return resp.StatusCode, answer
}

// connect opens a session with one server; the status says what an upgrade was
// answered with.
func (g *gatehouse) connect(server int, c card) (*websocket.Conn, int) {
	g.Helper()
	d := websocket.Dialer{TLSClientConfig: g.tls(c), Subprotocols: []string{wire.SubprotocolCBOR}, HandshakeTimeout: answerWithin}
	conn, resp, err := d.DialContext(g.Context(), "wss://"+g.addrs[server]+"/v1/gateway", c.header())
	if err != nil && resp == nil {
		g.Fatal(err)
	}
	if err != nil {
		return nil, resp.StatusCode
	}
	g.Cleanup(func() { conn.Close() })
	p := &peer{g, conn, wire.CBOR}
	p.send(&wire.Hello{GatewayID: "plant_7", All: true, Epochs: []wire.HelloEpoch{{Epoch: gateway.NewEpochID(), Oldest: 1}}})
	recv[*wire.Welcome](p)
	return conn, http.StatusSwitchingProtocols
}

func (g *gatehouse) wants(c card, status int, what string) {
	g.Helper()
	if conn, got := g.connect(0, c); got != status {
		g.Errorf("%s: answered %d, want %d", what, got, status)
	} else if conn != nil {
		_ = conn.Close()
	}
}

func (g *gatehouse) once(ttl time.Duration) string {
	g.Helper()
	token, err := g.creds.AddOnce("plant_7", ttl)
	if err != nil {
		g.Fatal(err)
	}
	return token
}

// audit gives the events of the audit log once it has as many as are wanted.
func (g *gatehouse) audit(want ...string) {
	g.Helper()
	var events []string
	for end := time.Now().Add(answerWithin); time.Now().Before(end) && len(events) < len(want); {
		req, _ := http.NewRequestWithContext(g.Context(), "GET", "https://"+g.addrs[0]+"/v1/audit", nil)
		req.Header = auth(operatorToken)
		resp, err := (&http.Transport{TLSClientConfig: g.tls(card{}), DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			g.Fatal(err)
		}
		events = nil
		for lines := json.NewDecoder(resp.Body); lines.More(); {
			var e cloud.AuditEntry
			if err := lines.Decode(&e); err != nil || e.Sentence == "" || e.At.IsZero() {
				g.Fatalf("%+v, %v", e, err)
			}
			events = append(events, e.Event)
		}
		resp.Body.Close()
	}
	if strings.Join(events, " ") != strings.Join(want, " ") {
		g.Errorf("the audit log has %v, want %v", events, want)
	}
}

// csr makes a key and a request for its certificate.
func csr(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func withCertificate(t *testing.T, key *ecdsa.PrivateKey, text string) card {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("no certificate: %q", text)
	}
	return card{cert: &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}
}

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
		began := time.Now()
		_ = session.SetReadDeadline(began.Add(answerWithin))
		_, _, err = session.ReadMessage()
		if took := time.Since(began); !websocket.IsCloseError(err, wire.CloseForbidden) || took > 5*time.Second {
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
