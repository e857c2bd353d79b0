package local

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

func getJSON(t *testing.T, url string) map[string]any {
	t.Helper()
	status, h, body := request(t, url)
	if status != http.StatusOK || h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d %v", url, status, h)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%s: %v in %s", url, err, body)
	}
	return m
}

func TestStatusOverHTTP(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	m := getJSON(t, "http://"+addr+"/api/v1/status")
	want := map[string]string{
		"type":       "status",
		"gateway_id": "plant-7",
		"time":       "2026-11-23T06:00:00.123Z",
		"clock":      "map[quality:ntp time:2026-11-23T06:00:00.123Z]",
		"uplink":     "map[endpoint:wss://cloud.example.com/v1/gateway state:online]",
		"health":     "[]",
	}
	for key, w := range want {
		if got := fmt.Sprint(m[key]); got != w {
			t.Errorf("%s is %s, want %s", key, got, w)
		}
	}
}

func TestChannelsOverHTTP(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	load := &gateway.Channel{Device: "board", Quantity: "load"}
	o.Hub.Publish(gateway.Name{Seq: 1}, []gateway.Reading{
		{Channel: boiler, Value: 61.5, At: testStamp.Add(-1500 * time.Millisecond), Quality: gateway.Simulated},
		{Channel: load, Value: 0.25, At: testStamp},
	})
	rows, _ := getJSON(t, "http://"+addr+"/api/v1/channels")["channels"].([]any)
	want := []string{
		"map[age_s:0 device_id:board epoch:00000000000000000000000000000000 quality:good quantity:load seq:2 " +
			"stamp:3.6e+09 time:ntp timestamp:2026-11-23T06:00:00.123Z unit: value:0.25]",
		"map[device_id:boiler quantity:humidity unit:%RH value:<nil>]",
		"map[age_s:1.5 device_id:boiler epoch:00000000000000000000000000000000 quality:simulated quantity:temperature " +
			"seq:1 stamp:3.5985e+09 time:ntp timestamp:2026-11-23T05:59:58.623Z unit:Cel value:61.5]",
	}
	if len(rows) != len(want) {
		t.Fatalf("%d channels, want %d: %v", len(rows), len(want), rows)
	}
	for i, row := range rows {
		if got := fmt.Sprint(row); got != want[i] {
			t.Errorf("channel %d is\n%s, want\n%s", i, got, want[i])
		}
	}
}

// A channel whose last reading is not good keeps the last one that was.
func TestChannelsKeepTheLastGoodValue(t *testing.T) {
	o, _ := options()
	s, _ := start(t, o)
	for i, q := range []gateway.Quality{gateway.OutOfRange, gateway.Good, gateway.Suspect} {
		at := testStamp.Add(time.Duration(i-3) * time.Second)
		o.Hub.Publish(gateway.Name{Seq: uint64(i + 1)}, []gateway.Reading{{Channel: boiler, Value: float64(i), At: at, Quality: q}})
		good := s.Report().Channels[1].LastGood
		switch {
		case i < 2 && good != nil:
			t.Errorf("after %d readings the last good one is %+v", i+1, good)
		case i == 2 && (good == nil || *good != GoodValue{Value: 1, Age: 2, Timestamp: "2026-11-23T05:59:58.123Z"}):
			t.Errorf("the last good one is %+v", good)
		}
	}
}

func TestStatusNotEncodable(t *testing.T) {
	o, _ := options()
	o.Status = func() Status { return Status{Uptime: nan()} }
	_, addr := start(t, o)
	if _, _, body := request(t, "http://"+addr+"/api/v1/status"); code(body) != "internal" {
		t.Errorf("got %s, want an error", body)
	}
	if m := read(t, dial(t, "ws://"+addr+"/ws")); m["code"] != "internal" {
		t.Errorf("got %v, want an error", m)
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

func TestHealthzShowsNoData(t *testing.T) {
	o, _ := options()
	o.View = "login"
	_, addr := start(t, o)
	if m := getJSON(t, "http://"+addr+"/healthz"); fmt.Sprint(m) != "map[status:ok]" {
		t.Errorf("healthz says %v", m)
	}
}

func TestErrorsOverHTTPHaveCodeAndSentence(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	cases := []struct {
		path, code string
		status     int
		headers    []string
	}{
		{"/api/v1/nothing", "not_found", http.StatusNotFound, nil},
		{"/assets/nothing.js", "not_found", http.StatusNotFound, nil},
		{"/ws", "upgrade_required", http.StatusUpgradeRequired, nil},
		{"/ws", "not_a_websocket", http.StatusBadRequest,
			[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13"}},
	}
	for _, c := range cases {
		status, _, body := request(t, "http://"+addr+c.path, c.headers...)
		var f fault
		_ = json.Unmarshal([]byte(body), &f) // not JSON: no code
		if status != c.status || f.Type != "error" || f.Code != c.code || !strings.HasSuffix(f.Message, ".") && f.Code != "not_a_websocket" {
			t.Errorf("%s: %d %s, want %d %s", c.path, status, body, c.status, c.code)
		}
	}
}
