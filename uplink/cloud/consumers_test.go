package cloud_test

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// withLedger makes the site's server one that keeps a ledger.
func (s *site) withLedger() {
	s.t.Helper()
	s.server.Close()
	s.http.Close()
	s.server = cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log, Credentials: s.creds, OperatorToken: operatorToken,
		Health: s.log.Health, Logger: quiet(s.t),
	})
	s.http = httptest.NewTLSServer(s.server)
	s.server.HurryLedger(50 * time.Millisecond)
	s.t.Cleanup(s.server.RunParts())
}

// entered waits until the ledger has passed the newest record.
func (s *site) entered() {
	s.t.Helper()
	last := s.lastSeq()
	for end := time.Now().Add(answerWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		states, err := s.log.Consumers(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if len(states) == 1 && states[0].Name == "ledger" && states[0].Behind == 0 && s.lastSeq() == last {
			return
		}
	}
	s.t.Fatal("the ledger does not get on")
}

type whether struct {
	Complete bool
	Sentence string
	Epochs   []struct {
		Epoch         gateway.EpochID
		Upto, Held    uint64
		End, Sentence string
		Gaps          []struct {
			First, N uint64
			Why      gateway.Why
			AtMost   *uint64 `json:"at_most"`
			Sentence string
		}
		Thinned []struct{ First, N uint64 }
	}
	Waiting *struct{ N uint64 }
	Joins   []struct{ Anew bool }
}

func (s *site) complete(query string) whether {
	s.t.Helper()
	b, err := io.ReadAll(s.get("/v1/gateways/"+s.id+"/completeness"+query, operatorToken).Body)
	var c whether
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", b, err)
	}
	return c
}

// The log is purged, the server starts anew: the ledger still tells every gap.
func TestLedgerOutlivesAPurge(t *testing.T) {
	s := newSite(t, nil)
	s.withLedger()
	e, next := gateway.NewEpochID(), gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 100, 50))
	p.acked(gap(e, 101, 20))
	p.acked(thinned(t, e, 121, 30))
	p.acked(openEnd(e, 150))
	p, _ = s.open(next)
	for i := range uint64(10) {
		p.acked(readings(t, next, 10*i+1, 10, 10))
	}
	s.entered()
	shown, err := io.ReadAll(s.get("/metrics", operatorToken).Body)
	for _, name := range []string{
		"ledger_records_total 16\n", "ledger_behind_seconds ", "live_clients 0\n", "live_lost_total 0\n", `alarms{code="backlog_age"} 0`,
	} {
		if err != nil || !strings.Contains(string(shown), "fieldgate_cloud_"+name) {
			t.Errorf("the figures lack %s, %v", name, err)
		}
	}
	before := s.complete("")
	if err := s.log.Purge(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if ls := s.lines("?epoch=" + e.String()); len(ls) != 0 {
		t.Fatalf("%d lines were not purged", len(ls))
	}
	p.conn.Close()
	s.server.Close()
	s.withLedger()
	after := s.complete("")
	told, _ := json.Marshal(before.Epochs)
	if again, _ := json.Marshal(after.Epochs); string(told) != string(again) || len(after.Epochs) != 2 || len(after.Joins) != 0 {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	x := after.Epochs[0]
	if x.Upto != 150 || x.Held != 100 || x.End != "open" || len(x.Gaps) != 2 || x.Gaps[0].N != 20 ||
		*x.Gaps[1].AtMost != 100 || x.Thinned[0].N != 30 || after.Complete {
		t.Errorf("%+v", x)
	}
	// Life goes on behind it.
	p, w := s.open(next)
	if w.Epochs[0].Upto != 100 {
		t.Errorf("welcomed with %+v", w.Epochs)
	}
	p.acked(readings(t, next, 101, 10, 10))
	if c := s.complete("?epoch=" + next.String()); c.Epochs[0].Upto != 110 || c.Epochs[0].Held != 110 {
		t.Errorf("%+v", c)
	}
}

// The log is lost, the KV is not: the ledger marks it, and says of what
// comes again that it is there.
func TestLedgerAfterTheLogIsLost(t *testing.T) {
	s := newSite(t, nil)
	s.withLedger()
	finished, e := gateway.NewEpochID(), gateway.NewEpochID()
	p, _ := s.open(finished, e)
	p.acked(readings(t, finished, 1, 20, 20))
	p.acked(closedEnd(finished, 20))
	p.acked(readings(t, e, 1, 40, 40))
	s.entered()
	p.conn.Close()
	s.server.Close()
	s.log.Close()
	stream, err := filepath.Glob(s.dir + "/log/jetstream/*/streams/FG_RAW")
	if err != nil || len(stream) != 1 || os.RemoveAll(stream[0]) != nil {
		t.Fatal(stream, err)
	}
	s.log = openLog(t, s.dir+"/log", 0)
	s.withLedger()
	p, w := s.open(e)
	if w.Epochs[0].Upto != 0 {
		t.Fatalf("welcomed with %+v", w.Epochs)
	}
	c := s.complete("")
	if c.Complete || len(c.Joins) != 1 || !c.Joins[0].Anew || !strings.Contains(c.Sentence, "2 ranges that the cloud itself has lost") {
		t.Errorf("%+v", c)
	}
	lost := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 1, N: 15,
		Gap: &wire.Gap{Why: gateway.WhyForgottenAfterAck, T0: 1e6, T1: 15e6, Anchor: wireAnchor}}
	p.acked(lost)
	p.acked(readings(t, e, 16, 30, 30))
	s.entered()
	c = s.complete("?epoch=" + e.String())
	if x := c.Epochs[0]; x.Upto != 45 || x.Held != 30 || len(x.Gaps) != 1 || x.Gaps[0].Why != gateway.WhyForgottenAfterAck ||
		!strings.Contains(x.Gaps[0].Sentence, "lost them itself") {
		t.Errorf("%+v", x)
	}
	c = s.complete("?epoch=" + finished.String())
	if x := c.Epochs[0]; x.Upto != 20 || len(x.Gaps) != 1 || x.Gaps[0].Why != "log_lost" {
		t.Errorf("%+v", x)
	}
}

// What waits on the gateway makes a range incomplete.
func TestWaitingIsReported(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p := s.dial()
	oldest := wire.Time(anchor.Offset + 50e6)
	p.send(&wire.Hello{GatewayID: s.id, All: true, Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}},
		Backlog: wire.Backlog{N: 500, Bytes: 900, OldestTS: oldest}, Clock: wire.ClockState{Quality: gateway.ClockNTP}})
	recv[*wire.Welcome](p)
	first := readings(t, e, 1, 100, 50)
	first.Lane = wire.LaneBacklog
	p.acked(first)
	c := s.complete("?from=2026-04-27T00:00:10Z&to=2026-04-27T00:00:40Z")
	if !c.Complete || c.Waiting == nil || c.Waiting.N != 400 {
		t.Errorf("before what waits: %+v", c)
	}
	if c := s.complete("?from=2026-04-27T00:00:10Z&to=2026-04-27T00:02:30Z"); c.Complete {
		t.Errorf("with what waits: %+v", c)
	}
	p.acked(readings(t, e, 101, 500, 500))
	if c := s.complete("?from=2026-04-27T00:00:10Z&to=2026-04-27T00:02:30Z"); !c.Complete || c.Waiting.N != 0 {
		t.Errorf("after it has come: %+v", c)
	}
	var g struct {
		Connected bool
		Clock     struct{ Quality string }
		Level     string
		Backlog   struct{ N uint64 }
		Alarms    []struct{ Code string }
		Epochs    int `json:"epochs_per_day"`
	}
	if err := json.NewDecoder(s.get("/v1/gateways/plant_7", operatorToken).Body).Decode(&g); err != nil ||
		!g.Connected || g.Clock.Quality != "ntp" || g.Level != "fsynced" || len(g.Alarms) != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	status := &wire.Status{Health: []wire.Condition{}, Devices: []wire.StatusDevice{},
		Figures: map[string]float64{"unacknowledged": 7, "oldest_unacknowledged_s": 7200}}
	p.send(status)
	p.send(&wire.Ping{T0: 1})
	recv[*wire.Pong](p)
	if err := json.NewDecoder(s.get("/v1/gateways/plant_7", operatorToken).Body).Decode(&g); err != nil ||
		g.Backlog.N != 7 || len(g.Alarms) != 1 || g.Alarms[0].Code != "backlog_age" {
		t.Errorf("%+v, %v", g, err)
	}
}

// Narrow ranges of a long log.
func TestReadingsOverJetStream(t *testing.T) {
	s := newSite(t, nil)
	s.withLedger()
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	for i := range uint64(700) {
		p.acked(readings(t, e, 3*i+1, 3, 3))
	}
	s.entered()
	ls := s.lines("?from=2026-04-27T00:10:00Z&to=2026-04-27T00:10:04Z")
	if len(ls) != 5 || ls[0].Seq != 600 || ls[4].Seq != 604 {
		t.Errorf("%+v", ls)
	}
	if ls := s.lines("?from=2026-04-27T00:34:59Z"); len(ls) != 2 || ls[1].Seq != 2100 {
		t.Errorf("%+v", ls)
	}
}
