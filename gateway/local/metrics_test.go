package local

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// Every line is one of Prometheus's text format, and the figures are those of
// the status.
func TestMetrics(t *testing.T) {
	o, _ := options()
	inner := o.Status
	o.Status = func() Status {
		st := inner()
		st.Store = Store{Head: 3, Stored: 50, Journal: 20, Unacked: 7,
			GapReadings: map[string]uint64{"dropped": 9}, TimeToFull: 3600, UncleanStops: 2, Volatile: "yes"}
		st.Uplink.Endpoints = []Endpoint{{URL: "wss://a/", Failures: 4}, {URL: "wss://b/", Present: true}}
		st.Uplink.Traffic = &Traffic{Today: map[string]int64{"live": 5}, Since: map[string]int64{"live": 1 << 40},
			Month: 77, Budget: 100, HeldBack: "backlog"}
		st.Config = &Config{Version: 7, Refused: &RefusedConfig{Version: 8, State: "rejected"}}
		st.Health = []health.Condition{{Code: "store_card", Subject: `/a "b"`, Severity: health.Error}}
		return st
	}
	_, addr := start(t, o)
	status, h, body := request(t, "http://"+addr+"/metrics")
	if status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %v", status, h)
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) .*|[a-z_0-9]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? [0-9.e+-]+)$`)
	for _, l := range strings.Split(strings.TrimSpace(body), "\n") {
		if !line.MatchString(l) {
			t.Errorf("not a line of the format: %s", l)
		}
	}
	for _, want := range []string{
		`fieldgate_store_readings{where="head"} 3`, `fieldgate_store_readings{where="volumes"} 30`, `fieldgate_store_unacked_readings 7`,
		`fieldgate_store_gap_readings{why="dropped"} 9`, `fieldgate_store_full_in_seconds 3600`, `fieldgate_store_brownouts_24h 2`,
		`fieldgate_uplink_state{state="online"} 1`, `fieldgate_uplink_state{state="waiting"} 0`, `fieldgate_device_ok{device="boiler"} 1`,
		`fieldgate_uplink_bytes_total{kind="live"} 1099511627776`, `fieldgate_uplink_bytes_today{kind="live"} 5`,
		`fieldgate_uplink_month_bytes 77`,
		`fieldgate_uplink_held_back 1`, `fieldgate_uplink_endpoint_failures{endpoint="wss://a/"} 4`,
		`fieldgate_uplink_endpoint_present{endpoint="wss://b/"} 1`,
		`fieldgate_store_volatile 1`, `fieldgate_store_volatile_unknown 0`, `fieldgate_config_version 7`,
		`fieldgate_config_on_trial 0`, `fieldgate_config_refused 1`,
		`fieldgate_condition{code="store_card",subject="/a \"b\"",severity="error"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("%s is not among\n%s", want, body)
		}
	}
	described, err := os.ReadFile("../../packaging/doc/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(fieldgate_\w+)`).FindAllStringSubmatch(body, -1) {
		if !strings.Contains(string(described), "`"+m[1]+"`") {
			t.Errorf("api.md does not have the metric %s", m[1])
		}
	}
}

// api.md has every route that answers programs.
func TestRoutesAreDescribed(t *testing.T) {
	described, err := os.ReadFile("../../packaging/doc/api.md")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := options()
	s := newServer(o)
	for _, r := range s.routes() {
		program := r.pattern == "/ws" || r.pattern == "/metrics" || r.pattern == "/healthz" || strings.HasPrefix(r.pattern, "/api/")
		if program && !strings.Contains(string(described), "| `GET "+r.pattern+"` |") {
			t.Errorf("api.md does not have the route %s", r.pattern)
		}
	}
}
