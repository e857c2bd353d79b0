package cloud_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A said is any message of /v1/live.
type said struct {
	Type      string
	GatewayID string `json:"gateway_id"`
	DeviceID  string `json:"device_id"`
	Quantity  string
	Value     *float64
	Quality   string
	Timestamp string
	Seq       uint64
	Lost      uint64
	Connected bool
	Software  string
	Code      string
}

// A listener is a client of /v1/live.
type listener struct {
	t    testing.TB
	conn *websocket.Conn
}

func (s *site) listenWith(query string, h http.Header, subs ...string) (*listener, *http.Response, error) {
	d := websocket.Dialer{TLSClientConfig: s.tls(), HandshakeTimeout: answerWithin, EnableCompression: true, Subprotocols: subs}
	conn, resp, err := d.DialContext(s.t.Context(), strings.Replace(s.http.URL, "https", "wss", 1)+"/v1/live"+query, h)
	if err != nil {
		return nil, resp, err
	}
	s.t.Cleanup(func() { conn.Close() })
	return &listener{s.t, conn}, resp, nil
}

func (s *site) listen(query string) *listener {
	s.t.Helper()
	l, _, err := s.listenWith(query, auth(operatorToken))
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (l *listener) next() said {
	l.t.Helper()
	_ = l.conn.SetReadDeadline(time.Now().Add(answerWithin))
	_, b, err := l.conn.ReadMessage()
	if err != nil {
		l.t.Fatalf("read: %v", err)
	}
	var m said
	if err := json.Unmarshal(b, &m); err != nil {
		l.t.Fatalf("%s: %v", b, err)
	}
	return m
}

// wantValues reads updates and compares gateway/device/quantity=value.
func (l *listener) wantValues(want ...string) {
	l.t.Helper()
	for _, w := range want {
		m := l.next()
		for m.Type == "status" {
			m = l.next()
		}
		v, _ := json.Marshal(m.Value)
		if got := m.GatewayID + "/" + m.DeviceID + "/" + m.Quantity + "=" + string(v); got != w {
			l.t.Fatalf("got %s (%+v), want %s", got, m, w)
		}
	}
}

// values gives one reading of each of these channels of a device.
func values(t testing.TB, e gateway.EpochID, first uint64, at gateway.Stamp, vs map[string]float64) *wire.Update {
	t.Helper()
	var rs []gateway.Reading
	var names []string
	for name := range vs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		rs = append(rs, gateway.Reading{Channel: &gateway.Channel{Device: "boiler", Quantity: name, Unit: "Cel"}, Value: vs[name], At: at})
	}
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: anchor}, rs)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: uint64(len(rs)), Blocks: [][]byte{b}}
}

// Presence and last values come first, then the stream; backlog and what is
// older move nothing.
func TestLive(t *testing.T) {
	s := newSite(t, nil)
	e, old := gateway.NewEpochID(), gateway.NewEpochID()
	p, _ := s.open(old, e)
	p.acked(values(t, e, 1, 10e6, map[string]float64{"a": 1, "b": 2}))
	l := s.listen("")
	if m := l.next(); m.Type != "status" || m.GatewayID != "plant_7" || !m.Connected || m.Software != "test" {
		t.Fatalf("first came %+v", m)
	}
	l.wantValues("plant_7/boiler/a=1", "plant_7/boiler/b=2")
	p.acked(values(t, e, 3, 11e6, map[string]float64{"a": 3}))
	l.wantValues("plant_7/boiler/a=3")
	backlog := values(t, old, 1, 12e6, map[string]float64{"a": 99})
	backlog.Lane = wire.LaneBacklog
	p.acked(backlog)
	p.acked(values(t, old, 2, 9e6, map[string]float64{"a": 98}))        // live, of the same boot, but measured before
	p.acked(values(t, e, 3, 13e6, map[string]float64{"a": 96, "b": 7})) // seq 3 again
	l.wantValues("plant_7/boiler/b=7")
	p.acked(values(t, e, 5, 14e6, map[string]float64{"b": 8}))
	l.wantValues("plant_7/boiler/b=8")
	p.conn.Close()
	for m := l.next(); m.Connected; m = l.next() {
		if m.Type != "status" {
			t.Fatalf("instead of the end: %+v", m)
		}
	}
	var last struct{ Values []said }
	if err := json.NewDecoder(s.get("/v1/gateways/plant_7/last", operatorToken).Body).Decode(&last); err != nil ||
		len(last.Values) != 2 || *last.Values[0].Value != 3 || *last.Values[1].Value != 8 {
		t.Errorf("last values %+v, %v", last, err)
	}
}

// After a restart the last values come from the log.
func TestLastValuesAfterARestart(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(values(t, e, 1, 10e6, map[string]float64{"a": 1, "b": 2}))
	p.acked(values(t, e, 3, 11e6, map[string]float64{"a": 3}))
	backlog := values(t, e, 4, 12e6, map[string]float64{"a": 99})
	backlog.Lane = wire.LaneBacklog
	p.acked(backlog)
	p.conn.Close()
	s.stop()
	s.start(nil)
	l := s.listen("?gateway=plant_7")
	if m := l.next(); m.Type != "status" || m.Connected {
		t.Fatalf("first came %+v", m)
	}
	l.wantValues("plant_7/boiler/a=3", "plant_7/boiler/b=2")
	p, _ = s.open(e)
	p.acked(values(t, e, 5, 13e6, map[string]float64{"a": 4}))
	l.wantValues("plant_7/boiler/a=4")
}

func TestLiveFilters(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	one, _ := s.open(e)
	s.add("plant_8")
	two, _ := s.open(e)
	only := s.listen("?gateway=plant_8&device=boiler&device=x&quantity=b")
	none := s.listen("?device=y")
	for i := range uint64(3) {
		one.acked(values(t, e, 2*i+1, gateway.Stamp(i), map[string]float64{"a": 1, "b": 2}))
		two.acked(values(t, e, 2*i+1, gateway.Stamp(i), map[string]float64{"a": 3, "b": float64(i)}))
	}
	only.wantValues("plant_8/boiler/b=0", "plant_8/boiler/b=1", "plant_8/boiler/b=2")
	one.conn.Close()
	for {
		m := none.next()
		if m.Type != "status" {
			t.Fatalf("a device that is not there said %+v", m)
		}
		if m.GatewayID == "plant_7" && !m.Connected {
			break
		}
	}
}

// Two servers on one log: a gateway on one is heard on the other, and both
// say that it is connected.
func TestLiveAcrossServers(t *testing.T) {
	s := newSite(t, nil)
	other := &site{t: t, creds: s.creds, id: s.id, token: s.token, log: s.log}
	other.server = cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Logger: quiet(t),
	})
	other.http = httptest.NewTLSServer(other.server)
	t.Cleanup(func() { other.server.Close(); other.http.Close() })
	stop := other.server.RunParts()
	t.Cleanup(stop)
	t.Cleanup(s.server.RunParts())
	e := gateway.NewEpochID()
	l := other.listen("")
	if m := l.next(); m.Type != "status" || m.Connected {
		t.Fatalf("first came %+v", m)
	}
	p, _ := s.open(e)
	p.acked(values(t, e, 1, 10e6, map[string]float64{"a": 1}))
	var connected, valued bool
	for !connected || !valued {
		m := l.next()
		connected = connected || m.Type == "status" && m.Connected
		valued = valued || m.Type == "update" && *m.Value == 1
	}
	if g := other.gateways()[0]; !g.Connected || g.Gen == 0 {
		t.Errorf("the other server lists %+v", g)
	}
	p.conn.Close()
	for m := l.next(); m.Type != "status" || m.Connected; m = l.next() {
	}
}

func TestWhoMayListen(t *testing.T) {
	s := newSite(t, nil)
	ticket := func() string {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.http.URL+"/v1/ws-ticket", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = auth(operatorToken)
		resp, err := s.http.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body struct{ Ticket string }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || len(body.Ticket) != 43 {
			t.Fatalf("%s %+v %v", resp.Status, body, err)
		}
		return body.Ticket
	}
	once := ticket()
	u, err := url.Parse(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header http.Header
		subs   []string
		status int
	}{
		{"nothing", nil, nil, 401},
		{"a gateway's token", auth(s.token), nil, 401},
		{"a ticket that was never issued", nil, []string{"fieldgate.dash.v1.json", "fieldgate.ticket.AAAA"}, 401},
		{"a ticket", nil, []string{"fieldgate.dash.v1.json", "fieldgate.ticket." + once}, 101},
		{"the ticket again", nil, []string{"fieldgate.dash.v1.json", "fieldgate.ticket." + once}, 401},
		{"a page of this server", http.Header{"Origin": {"https://" + u.Host}}, []string{"fieldgate.ticket." + ticket()}, 101},
		{"a page of another", http.Header{"Origin": {"https://example.com"}, "Authorization": auth(operatorToken)["Authorization"]}, nil, 403},
		{"two origins", http.Header{"Origin": {"https://" + u.Host, "https://" + u.Host}}, []string{"fieldgate.ticket." + ticket()}, 403},
		{"the operator", auth(operatorToken), nil, 101},
	} {
		l, resp, err := s.listenWith("", c.header, c.subs...)
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v, %v", c.name, resp, err)
			continue
		}
		if l != nil && len(c.subs) == 2 && l.conn.Subprotocol() != "fieldgate.dash.v1.json" {
			t.Errorf("%s: subprotocol %q", c.name, l.conn.Subprotocol())
		}
	}
	if resp := s.get("/v1/live", operatorToken); resp.StatusCode != 426 {
		t.Errorf("no upgrade: %s", resp.Status)
	}
	for _, query := range []string{
		"gateway=x" + strings.Repeat("&gateway=x", 256), "device=x" + strings.Repeat("&device=x", 256),
		"gateway=", "gateway=*", "gateway=%3E", "gateway=a.b", "gateway=plant_7&gateway=plant%207", "gateway=" + strings.Repeat("x", 65),
	} {
		if resp := s.get("/v1/live?"+query, operatorToken); resp.StatusCode != 400 {
			t.Errorf("the filter %s: %s", query, resp.Status)
		}
	}
}

// What a client says is answered and bounded.
func TestLiveTakesNoMessages(t *testing.T) {
	s := newSite(t, nil)
	l := s.listen("")
	l.next()
	if err := l.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"command"}`)); err != nil {
		t.Fatal(err)
	}
	if m := l.next(); m.Type != "error" || m.Code != "read_only" {
		t.Errorf("answered %+v", m)
	}
	// Zeros deflate to almost nothing.
	if err := l.conn.WriteMessage(websocket.TextMessage, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(answerWithin))
	if _, _, err := l.conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("a message that inflates: %v", err)
	}
	l = s.listen("")
	l.next()
	s.server.Close()
	if _, _, err := l.conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("at the end of the server: %v", err)
	}
	if n := s.server.Listening(); n != 0 {
		t.Errorf("%d clients that have gone are still told of readings", n)
	}
}
