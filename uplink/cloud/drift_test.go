package cloud_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// figuresSay waits until the figures have these lines.
func (s *site) figuresSay(lines ...string) {
	s.t.Helper()
	var text []byte
	for end := time.Now().Add(answerWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, text = ask(s, s.http, "GET", "/metrics", "")
		missing := 0
		for _, line := range lines {
			if !strings.Contains(string(text), "fieldgate_cloud_"+line+"\n") {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	s.t.Fatalf("want %q in\n%s", lines, text)
}

// The figures and the list of gateways tell whose configuration is not the
// desired one, and who has refused it; a gateway that was removed is not
// waited for.
func TestConfigurationDrift(t *testing.T) {
	s := newSite(t, nil)
	for _, id := range []string{"good", "bad", "late", "gone", "free"} {
		s.add(id)
	}
	const doc = "version = 1\n"
	for _, id := range []string{"good", "bad", "late", "gone"} {
		s.id = id
		s.put("", doc)
	}
	if err := s.creds.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	s.withLedger()
	s.figuresSay("config_desired_gateways 3", "config_drift_gateways 3", "config_refused_gateways 0")
	report := func(id, state string, ver uint64) {
		t.Helper()
		s.fresh(id)
		p, _ := s.hello(nil)
		recv[*wire.Config](p)
		p.send(&wire.Reported{Ver: ver, Hash: hashOf(doc), State: state})
		s.untilReported(ver, state)
		p.conn.Close()
	}
	report("good", "applied", 1)
	report("bad", "rejected", 1)
	s.figuresSay("config_desired_gateways 3", "config_drift_gateways 2", "config_refused_gateways 1")
	config := func(id string) string {
		_, text := ask(s, s.http, "GET", "/v1/gateways/"+id, "")
		var g struct{ Config json.RawMessage }
		if err := json.Unmarshal(text, &g); err != nil {
			t.Fatal(err)
		}
		return string(g.Config)
	}
	for id, want := range map[string]string{
		"good": `{"desired":1,"reported":1,"state":"applied","drift":false}`,
		"bad":  `{"desired":1,"reported":1,"state":"rejected","drift":true}`,
		"late": `{"desired":1,"reported":0,"drift":true}`,
		"free": ``,
	} {
		if got := config(id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	s.id = "good"
	s.put("", doc+"# 2\n")
	s.id = "bad"
	s.put("?again=true", doc)
	s.figuresSay("config_drift_gateways 3", "config_refused_gateways 0")
}

// fresh gives a gateway another token, and makes it the one at hand.
func (s *site) fresh(id string) {
	s.t.Helper()
	if err := s.creds.Remove(id); err != nil {
		s.t.Fatal(err)
	}
	s.add(id)
}

// Every state that a command comes to is counted, once.
func TestCommandsAreCounted(t *testing.T) {
	s := newSite(t, nil)
	s.post("", fmt.Sprintf(setPump, "a", ""))
	s.post("", fmt.Sprintf(setPump, "a", "")) // the same
	s.post("", fmt.Sprintf(setPump, "b", `,"ttl_ms":1`))
	p := s.openFor(s.http)
	if m := recv[*wire.Command](p); m.ID != "a" {
		t.Fatalf("got %+v", m)
	}
	s.post("", fmt.Sprintf(setPump, "c", ""))
	recv[*wire.Command](p)
	p.answers("a", gateway.CommandRunning)
	p.answers("a", gateway.CommandDone)
	p.answers("a", gateway.CommandDone)
	p.answers("c", "melted")
	s.command("a")
	s.command("c")
	s.figuresSay(`commands_total{state="queued"} 3`, `commands_total{state="sent"} 2`, `commands_total{state="running"} 1`,
		`commands_total{state="done"} 1`, `commands_total{state="expired"} 1`, `commands_total{state="other"} 1`,
		`command_latency_seconds_count 1`)
}
