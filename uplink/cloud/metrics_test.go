package cloud_test

import (
	"bufio"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// figures gives what /metrics shows, by name with labels.
func (s *site) figures() map[string]string {
	s.t.Helper()
	resp := s.get("/metrics", operatorToken)
	if resp.StatusCode != 200 {
		s.t.Fatalf("status %s", resp.Status)
	}
	shown := map[string]string{}
	sc := bufio.NewScanner(resp.Body)
	for sc.Scan() {
		if cut := strings.LastIndexByte(sc.Text(), ' '); cut > 0 && !strings.HasPrefix(sc.Text(), "#") {
			shown[sc.Text()[:cut]] = sc.Text()[cut+1:]
		}
	}
	return shown
}

func TestFigures(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	if resp := s.get("/metrics", s.token); resp.StatusCode != 401 {
		t.Errorf("a gateway's token opens /metrics: %s", resp.Status)
	}
	_, _, _ = s.dialWith(auth("fg1_plant_7_x"), wire.SubprotocolCBOR)
	_, _, _ = s.dialWith(auth(s.token), "mqtt")
	older, _ := s.open(e)
	older.acked(readings(t, e, 1, 10, 5))
	p, _ := s.openIn(wire.JSON, e)
	older.closed()
	p.acked(rows(e, 1, 10))
	p.acked(rows(e, 11, 3))
	p.acked(gap(e, 14, 7))
	odd := gap(e, 21, 2)
	odd.Gap.Why = "moonshine"
	p.acked(odd)
	p.send(event(e, 1))
	recv[*wire.Ack](p)
	p.send(rows(e, 90, 1))
	recv[*wire.Nack](p)
	p.send(&wire.Ping{T0: 1})
	recv[*wire.Pong](p)
	p.sendRaw(1, []byte("x"))
	recv[*wire.Error](p)
	p.conn.Close()

	want := map[string]string{
		`upgrades_total{result="ok"}`:               "2",
		`upgrades_total{result="unauthorised"}`:     "1",
		`upgrades_total{result="subprotocol"}`:      "1",
		`auth_failures_total{reason="credential"}`:  "1",
		`sessions_open_total`:                       "2",
		`takeovers_total`:                           "1",
		`close_total{code="4409",by="cloud"}`:       "1",
		`updates_total{lane="live",enc="cbor"}`:     "1",
		`updates_total{lane="live",enc="json"}`:     "4",
		`updates_total{lane="event",enc="json"}`:    "1",
		`readings_total`:                            "13",
		`duplicate_updates_total`:                   "1",
		`nack_total{code="seq"}`:                    "1",
		`gap_readings_total{reason="card_failed"}`:  "7",
		`gap_readings_total{reason="other"}`:        "2",
		`window_paused_sessions`:                    "0",
		`gateway_backlog_readings_bucket{le="100"}`: "2",
		`ack_latency_seconds_count`:                 "6",
		`pub_ack_seconds_count`:                     "7", // five of updates and events, two of opening
		`connections{state="all"}`:                  "",
		`connections{state="ready"}`:                "",
		`clock_offset_seconds_bucket{le="3600"}`:    "absent", // its clock claims nothing
		`updates_total{lane="backlog",enc="json"}`:  "0",
		`pub_ack_seconds_bucket{le="30"}`:           "7",
		`gateway_backlog_readings_count`:            "2",
		`spread_seconds`:                            "1",
		`gateway_backlog_readings_bucket{le="0"}`:   "2",
		`ack_latency_seconds_bucket{le="30"}`:       "6",
	}
	shown := s.figures()
	for name, v := range want {
		got, ok := shown["fieldgate_cloud_"+name]
		if v == "absent" && ok && got != "0" || v != "absent" && (!ok || v != "" && got != v) {
			t.Errorf("%s is %q, want %s", name, got, v)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if shown[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	ids := regexp.MustCompile(`plant_7|` + e.String())
	for name := range shown {
		if ids.MatchString(name) {
			t.Errorf("%s names a gateway or an epoch", name)
		}
	}
	if len(shown) > 400 {
		t.Errorf("%d figures", len(shown))
	}
}
