package cloud_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fleetDir); dir != "" {
		if err := serveFleet(dir, os.Getenv(fleetListen)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const operatorToken = "0123456789abcdef0123456789abcdef"

// answerWithin bounds every wait for the server; it only ends tests that fail.
const answerWithin = 3 * time.Minute

// A site is a server on a real log with one gateway's credential.
type site struct {
	t      testing.TB
	dir    string
	creds  keyring.Credentials
	id     string // the gateway at hand
	token  string // its credential
	log    *jetstream.Log
	pubsub record.PubSub // nil: the log
	server *cloud.Server
	http   *httptest.Server
}

// newSite starts a server; wrap may put something between it and its log.
func newSite(t testing.TB, wrap func(record.Log) record.Log) *site {
	s := &site{t: t, dir: t.TempDir()}
	s.creds = keyring.Credentials{Dir: s.dir + "/gateways"}
	s.add("plant_7")
	s.start(wrap)
	t.Cleanup(s.stop)
	return s
}

// add makes a gateway, the one at hand from now on.
func (s *site) add(id string) {
	s.t.Helper()
	token, err := s.creds.Add(id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.id, s.token = id, token
}

func (s *site) start(wrap func(record.Log) record.Log) {
	s.t.Helper()
	s.log = openLog(s.t, s.dir+"/log", 0)
	s.serve(wrap)
}

func (s *site) serve(wrap func(record.Log) record.Log) {
	var log record.Log = s.log
	if wrap != nil {
		log = wrap(log)
	}
	pubsub := s.pubsub
	if pubsub == nil {
		pubsub = s.log
	}
	s.server = cloud.New(cloud.Options{
		Log: log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: pubsub,
		Credentials: s.creds, OperatorToken: operatorToken, Health: s.log.Health, Logger: quiet(s.t),
	})
	s.http = httptest.NewTLSServer(s.server)
}

func (s *site) stop() {
	s.server.Close()
	s.http.Close()
	s.log.Close()
}

func openLog(t testing.TB, dir string, maxBytes int64) *jetstream.Log {
	t.Helper()
	l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir, MaxBytes: maxBytes, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// A peer is the gateway's end of a connection.
type peer struct {
	t     testing.TB
	conn  *websocket.Conn
	codec *wire.Codec
}

func (s *site) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return &tls.Config{RootCAs: pool}
}

func (s *site) dialWith(h http.Header, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{TLSClientConfig: s.tls(), Subprotocols: subprotocols, HandshakeTimeout: answerWithin, EnableCompression: true}
	return d.DialContext(s.t.Context(), strings.Replace(s.http.URL, "https", "wss", 1)+"/v1/gateway", h)
}

func auth(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func (s *site) dial() *peer { return s.dialIn(wire.CBOR) }

func (s *site) dialIn(codec *wire.Codec) *peer {
	s.t.Helper()
	conn, _, err := s.dialWith(auth(s.token), codec.Subprotocol)
	if err != nil {
		s.t.Fatal(err)
	}
	if conn.Subprotocol() != codec.Subprotocol {
		s.t.Fatalf("the server chose %q", conn.Subprotocol())
	}
	s.t.Cleanup(func() { conn.Close() })
	return &peer{s.t, conn, codec}
}

// open dials and says hello with these epochs, all of them unfinished.
func (s *site) open(epochs ...gateway.EpochID) (*peer, *wire.Welcome) {
	s.t.Helper()
	return s.openIn(wire.CBOR, epochs...)
}

func (s *site) openIn(codec *wire.Codec, epochs ...gateway.EpochID) (*peer, *wire.Welcome) {
	s.t.Helper()
	p := s.dialIn(codec)
	h := &wire.Hello{GatewayID: s.id, All: true, Software: "test"}
	for _, e := range epochs {
		h.Epochs = append(h.Epochs, wire.HelloEpoch{Epoch: e, Oldest: 1})
	}
	p.send(h)
	return p, recv[*wire.Welcome](p)
}

func (p *peer) send(m wire.Message) {
	p.t.Helper()
	b, err := p.codec.Encode(m)
	if err != nil {
		p.t.Fatal(err)
	}
	kind := websocket.BinaryMessage
	if p.codec.Text {
		kind = websocket.TextMessage
	}
	p.sendRaw(kind, b)
}

func (p *peer) sendRaw(kind int, b []byte) {
	p.t.Helper()
	if err := p.conn.WriteMessage(kind, b); err != nil {
		p.t.Fatal(err)
	}
}

// recv gives the next message, which must be an M.
func recv[M wire.Message](p *peer) M {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(answerWithin))
	kind, b, err := p.conn.ReadMessage()
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	if (kind == websocket.TextMessage) != p.codec.Text {
		p.t.Fatalf("a frame of kind %d on %s", kind, p.codec.Subprotocol)
	}
	m, err := p.codec.Decode(b)
	if err != nil {
		p.t.Fatal(err)
	}
	got, ok := m.(M)
	if !ok {
		p.t.Fatalf("got %T %+v, want %T", m, m, got)
	}
	return got
}

// closed reads until the connection ends and gives the close code.
func (p *peer) closed() int {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(answerWithin))
	for {
		_, _, err := p.conn.ReadMessage()
		if ce, ok := err.(*websocket.CloseError); ok {
			return ce.Code
		}
		if err != nil {
			p.t.Fatalf("want a close frame, got %v", err)
		}
	}
}

// acked sends u and gives what the ack says of its epoch.
func (p *peer) acked(u *wire.Update) wire.EpochAck {
	p.t.Helper()
	p.send(u)
	a := recv[*wire.Ack](p)
	for len(a.Epochs) == 0 && a.Events == nil { // a slow machine is a slow log: it asks for less
		a = recv[*wire.Ack](p)
	}
	if len(a.Epochs) != 1 || a.Epochs[0].Epoch != u.Epoch {
		p.t.Fatalf("ack %+v is not for epoch %s", a, u.Epoch)
	}
	return a.Epochs[0]
}

var anchor = gateway.Anchor{
	Boot: gateway.BootID{1}, Offset: time.Date(2026, 4, 27, 0, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP,
}

var wireAnchor = wire.Anchor{Boot: anchor.Boot, Offset: anchor.Offset, Quality: anchor.Quality}

var channel = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

// readings gives an update of n readings whose values are their seq, in
// blocks of at most size.
func readings(t testing.TB, e gateway.EpochID, first, n, size uint64) *wire.Update {
	t.Helper()
	u := &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n}
	enc := block.NewEncoder()
	for at := first; at < first+n; at += size {
		var rs []gateway.Reading
		for seq := at; seq < min(at+size, first+n); seq++ {
			rs = append(rs, gateway.Reading{Channel: channel, Value: float64(seq), At: gateway.Stamp(seq * 1e6)})
		}
		b, err := enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: at}, Anchor: anchor}, rs)
		if err != nil {
			t.Fatal(err)
		}
		u.Blocks = append(u.Blocks, b)
	}
	return u
}

func gap(e gateway.EpochID, first, n uint64) *wire.Update {
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n,
		Gap: &wire.Gap{Why: gateway.WhyCardFailed, T0: 1e6, T1: 2e6, Anchor: wireAnchor}}
}

func closedEnd(e gateway.EpochID, last uint64) *wire.Update {
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: last + 1, End: &wire.End{Closed: &last}}
}

func openEnd(e gateway.EpochID, last uint64) *wire.Update {
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: last + 1,
		End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 100, T0: 5e6, T1: 9e6, Anchor: &wireAnchor}}
}

// An exportedLine is any line of the readings API.
type exportedLine struct {
	Type      string
	GatewayID string `json:"gateway_id"`
	DeviceID  string `json:"device_id"`
	Quantity  string
	Value     *float64
	Unit      string
	Timestamp string
	Quality   string
	Time      string
	Epoch     gateway.EpochID
	Seq       uint64
	First     uint64
	N         uint64
	Why       gateway.Why
	Closed    *uint64
	After     uint64
	Count     uint64
	IntervalS float64 `json:"interval_s"`
	From      uint64
	Min       *float64
	Max       *float64
	Mean      *float64
	AtMost    uint64 `json:"at_most"`
	T0, T1    string
}

// get asks the operator's API.
func (s *site) get(path, token string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.http.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.http.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// lines gives what the log holds, as an operator sees it.
func (s *site) lines(query string) []exportedLine {
	s.t.Helper()
	resp := s.get("/v1/gateways/"+s.id+"/readings"+query, operatorToken)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("status %s", resp.Status)
	}
	var ls []exportedLine
	sc := bufio.NewScanner(resp.Body)
	for sc.Scan() {
		var l exportedLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			s.t.Fatalf("%s: %v", sc.Bytes(), err)
		}
		ls = append(ls, l)
	}
	if err := sc.Err(); err != nil {
		s.t.Fatal(err)
	}
	return ls
}

// wantSeqs checks that the log holds the readings 1 … n of an epoch exactly
// once, in order, each with its own value.
func (s *site) wantSeqs(e gateway.EpochID, n uint64) {
	s.t.Helper()
	next := uint64(1)
	for _, l := range s.lines("?epoch=" + e.String()) {
		if l.Type != "" {
			continue
		}
		if l.Seq != next || l.Value == nil || *l.Value != float64(next) {
			s.t.Fatalf("reading %+v stands where %d belongs", l, next)
		}
		next++
	}
	if next != n+1 {
		s.t.Fatalf("the log holds %d readings, want %d", next-1, n)
	}
}

// readingsIn2099 gives four readings whose clock claims to be right.
func readingsIn2099(t testing.TB, e gateway.EpochID) *wire.Update {
	t.Helper()
	a := anchor
	a.Offset = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	rs := []gateway.Reading{{Channel: channel}, {Channel: channel}, {Channel: channel}, {Channel: channel}}
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 1}, Anchor: a}, rs)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 4, Blocks: [][]byte{b}}
}
