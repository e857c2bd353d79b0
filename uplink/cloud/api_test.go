package cloud_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A listed gateway, as GET /v1/gateways gives it.
type listed struct {
	GatewayID string `json:"gateway_id"`
	Connected bool
	Since     *time.Time
	LastSeen  *time.Time `json:"last_seen"`
	Gen       uint64
	Epochs    []struct {
		Epoch gateway.EpochID
		Upto  uint64
		Done  bool
		End   string
	}
}

func (s *site) gateways() []listed {
	s.t.Helper()
	var body struct{ Gateways []listed }
	if err := json.NewDecoder(s.get("/v1/gateways", operatorToken).Body).Decode(&body); err != nil {
		s.t.Fatal(err)
	}
	return body.Gateways
}

func TestUpgradeIsRefused(t *testing.T) {
	s := newSite(t, nil)
	secret := s.token[len("fg1_plant_7_"):]
	for name, c := range map[string]struct {
		header http.Header
		sub    string
		status int
	}{
		"no credential":     {nil, wire.SubprotocolCBOR, 401},
		"not a token":       {auth("hello"), wire.SubprotocolCBOR, 401},
		"no secret":         {auth("fg1_plant_7"), wire.SubprotocolCBOR, 401},
		"wrong secret":      {auth("fg1_plant_7_" + strings.Repeat("0", 64)), wire.SubprotocolCBOR, 401},
		"unknown gateway":   {auth("fg1_plant_8_" + secret), wire.SubprotocolCBOR, 401},
		"path as id":        {auth("fg1_../plant_7_" + secret), wire.SubprotocolCBOR, 401},
		"operator's token":  {auth(operatorToken), wire.SubprotocolCBOR, 401},
		"other subprotocol": {auth(s.token), "mqtt", 400},
		"no subprotocol":    {auth(s.token), "", 400},
	} {
		var subs []string
		if c.sub != "" {
			subs = []string{c.sub}
		}
		_, resp, err := s.dialWith(c.header, subs...)
		if err == nil || resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v, %v", name, resp, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		if !json.Valid(body) || strings.Contains(string(body), secret) {
			t.Errorf("%s: body %s", name, body)
		}
		if c.status == 400 && !strings.Contains(string(body), wire.SubprotocolCBOR) {
			t.Errorf("%s: body %s does not name what is supported", name, body)
		}
	}
	if resp := s.get("/v1/gateway?gw=plant_8", s.token); resp.StatusCode != 403 {
		t.Errorf("gw of another gateway: %s", resp.Status)
	}
}

func TestUpgrade(t *testing.T) {
	s := newSite(t, nil)
	conn, resp, err := s.dialWith(auth(s.token), "fieldgate.v9.cbor", wire.SubprotocolCBOR)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if ext := resp.Header.Get("Sec-WebSocket-Extensions"); ext != "" || conn.Subprotocol() != wire.SubprotocolCBOR {
		t.Errorf("agreed on extensions %q, subprotocol %q", ext, conn.Subprotocol())
	}
}

func TestTooManyUpgrades(t *testing.T) {
	s := newSite(t, nil)
	for range 20 {
		s.dial().conn.Close()
	}
	for n := 21; ; n++ { // each three seconds that it takes here allow another one
		conn, resp, err := s.dialWith(auth(s.token), wire.SubprotocolCBOR)
		if err == nil && n < 40 {
			conn.Close()
			continue
		}
		if err == nil || resp.StatusCode != 429 || !slices.Contains([]string{"1", "2", "3"}, resp.Header.Get("Retry-After")) {
			t.Errorf("number %d: %v, %v", n, resp, err)
		}
		break
	}
	s.add("other")
	s.dial()
}

func TestSecretIsNotKept(t *testing.T) {
	s := newSite(t, nil)
	file := s.creds.Dir + "/plant_7.json"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), s.token[len("fg1_plant_7_"):]) {
		t.Error("the secret lies on the disk")
	}
	if fi, _ := os.Stat(file); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", fi.Mode())
	}
}

func TestOperatorOnly(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/v1/gateways", "/v1/gateways/plant_7/readings", "/v1/gateways/plant_7/completeness"} {
		for _, token := range []string{"", "x", s.token, operatorToken + "0"} {
			if resp := s.get(path, token); resp.StatusCode != 401 {
				t.Errorf("%s with %q: %s", path, token, resp.Status)
			}
		}
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 404, "/v1/gateways/none/readings": 404, "/v1/gateways/a.b/readings": 404,
		"/v1/gateways/plant_7/readings": 200, "/v1/gateways/plant_7/readings?epoch=1": 400,
		"/v1/gateways/plant_7/completeness": 200, "/v1/gateways/plant_7/completeness?from=-1h&to=0s": 200, "/v1/gateways/none/completeness": 404,
		"/v1/gateways/plant_7/completeness?epoch=1": 400, "/v1/gateways/plant_7/completeness?from=yesterday": 400,
		"/v1/gateways/plant_7/readings?from=x": 400,
	} {
		if resp := s.get(path, operatorToken); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
	s.log.Close()
	if resp := s.get("/readyz", ""); resp.StatusCode != 503 {
		t.Errorf("without a log readyz says %s", resp.Status)
	}
}

func TestListOfGateways(t *testing.T) {
	s := newSite(t, nil)
	if g := s.gateways(); len(g) != 1 || g[0].GatewayID != "plant_7" || g[0].Connected || g[0].LastSeen != nil || len(g[0].Epochs) != 0 {
		t.Errorf("before the first session: %+v", g)
	}
	e, next := gateway.NewEpochID(), gateway.NewEpochID()
	p, _ := s.open(e, next)
	p.acked(readings(t, e, 1, 3, 3))
	p.acked(openEnd(e, 3))
	g := s.gateways()[0]
	if !g.Connected || g.Since == nil || g.LastSeen == nil || len(g.Epochs) != 2 {
		t.Fatalf("in a session: %+v", g)
	}
	if x := g.Epochs[0]; x.Epoch != e || x.Upto != 3 || !x.Done || x.End != "open" {
		t.Errorf("epoch %+v", x)
	}
	if x := g.Epochs[1]; x.Epoch != next || x.Upto != 0 || x.Done || x.End != "growing" {
		t.Errorf("epoch %+v", x)
	}
}

func TestLinesOfReadings(t *testing.T) {
	s := newSite(t, nil)
	e, other := gateway.NewEpochID(), gateway.NewEpochID()
	p, _ := s.open(e, other)
	p.acked(readings(t, e, 1, 2, 2))
	p.acked(readings(t, other, 1, 1, 1))
	p.acked(gap(e, 3, 4))
	p.acked(openEnd(e, 6))
	p.acked(closedEnd(other, 1))
	body, err := io.ReadAll(s.get("/v1/gateways/plant_7/readings", operatorToken).Body)
	if err != nil {
		t.Fatal(err)
	}
	id, oid := e.String(), other.String()
	want := `{"gateway_id":"plant_7","device_id":"boiler","quantity":"temperature","value":1,"unit":"Cel","timestamp":"2026-04-27T00:00:01.000Z","quality":"good","time":"ntp","epoch":"` + id + `","seq":1}
{"gateway_id":"plant_7","device_id":"boiler","quantity":"temperature","value":2,"unit":"Cel","timestamp":"2026-04-27T00:00:02.000Z","quality":"good","time":"ntp","epoch":"` + id + `","seq":2}
{"gateway_id":"plant_7","device_id":"boiler","quantity":"temperature","value":1,"unit":"Cel","timestamp":"2026-04-27T00:00:01.000Z","quality":"good","time":"ntp","epoch":"` + oid + `","seq":1}
{"type":"gap","gateway_id":"plant_7","epoch":"` + id + `","first":3,"n":4,"why":"card_failed","t0":"2026-04-27T00:00:01.000Z","t1":"2026-04-27T00:00:02.000Z","time":"ntp"}
{"type":"end","gateway_id":"plant_7","epoch":"` + id + `","why":"unclean_stop","after":6,"at_most":100,"t0":"2026-04-27T00:00:05.000Z","t1":"2026-04-27T00:00:09.000Z","time":"ntp"}
{"type":"end","gateway_id":"plant_7","epoch":"` + oid + `","closed":1}
`
	if string(body) != want {
		t.Errorf("got\n%swant\n%s", body, want)
	}
	if ls := s.lines("?epoch=" + id + "&from_seq=2"); len(ls) != 3 || ls[0].Seq != 2 {
		t.Errorf("from 2 of one epoch: %+v", ls)
	}
}

func TestValueThatIsNotANumber(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	zero := 0.0
	rs := []gateway.Reading{{Channel: channel, Value: zero / zero, At: 1}, {Channel: channel, Value: 1 / zero, At: 2}}
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 1}}, rs)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := s.open(e)
	p.acked(&wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 2, Blocks: [][]byte{b}})
	for _, l := range s.lines("") {
		if l.Value != nil || l.Time != "none" {
			t.Errorf("line %+v", l)
		}
	}
}

func TestVoidRecordIsNotRead(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 2, 2))
	body, err := wire.Encode(readings(t, e, 3, 5, 5))
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.log.Last(t.Context(), s.id)
	if err != nil {
		t.Fatal(err)
	}
	// What an older session had under way when the log lost its tail.
	void := record.Record{ID: "void", Prev: "lost", PrevSeq: last.Seq, Kind: record.KindUpdate, Epoch: e, First: 3, N: 5, Body: body}
	if _, err := s.log.Append(t.Context(), s.id, last.Seq, void); err != nil {
		t.Fatal(err)
	}
	p, w := s.open(e)
	if w.Epochs[0].Upto != 2 {
		t.Errorf("welcomed with %+v", w.Epochs)
	}
	p.acked(readings(t, e, 3, 1, 1))
	s.wantSeqs(e, 3)
}
