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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
