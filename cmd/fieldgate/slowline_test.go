package main

import (
	"encoding/json"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// An hour of backlog on a line of 64 kbit/s: what is live does not wait behind
// it; its p99 is within 3 s. The kernel's own bucket says when a packet leaves,
// and where this machine wakes sleepers late or writes late, the three programs
// on the way are allowed as much.
func TestOverASlowLine(t *testing.T) {
	l := inNamespace(t)
	if l == nil {
		return
	}
	cloud, addr := farCloud(t), e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	st.setChips(t, 20, time.Second)
	cfg, err := config.Load(st.config, builtin.Drivers())
	if err != nil {
		t.Fatal(err)
	}
	if err := fillOutage(t.Context(), cfg, time.Hour, cli.Console{Out: io.Discard, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, dev := range []string{"near", "far"} {
		shell(t, "tc", "qdisc", "add", "dev", dev, "root", "tbf", "rate", "64kbit", "burst", "3000", "latency", "3s")
	}
	cloud.Start(t)
	lateness := e2e.Lateness(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	screen.Await(t, "online", 0, isOnline)
	took := screen.Await(t, "the backlog is through", 0, func(_ []e2e.Reading, s e2e.Status) bool {
		return s.Uplink.State == "online" && s.Store.Unacked < 3*20 // of the last seconds
	})
	late, busy := latest(t, addr), lateness()
	passed, _ := l.counted()
	t.Logf("72,000 readings of backlog through in %v, live p99 meanwhile %v; %d packets; the machine was up to %v late",
		took.Round(100*time.Millisecond), late, passed, busy.Round(time.Millisecond))
	if late == 0 || late > 3*time.Second+3*busy {
		t.Errorf("live readings came %v late", late)
	}
	// 1.2 bytes a reading are 86 kB, and 64 kbit/s 8 kB/s.
	if took < 10*time.Second {
		t.Errorf("the backlog took only %v: that is not 64 kbit/s", took)
	}
	seen, _, _ := screen.Snapshot()
	held, _ := cloud.AwaitAll(t, seen)
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	if n := len(held.Readings); n < 72_000+len(seen) {
		t.Errorf("the cloud holds %d readings", n)
	}
	st.end(t, syscall.SIGTERM)
}

// latest is how late live readings were acknowledged, p99 of the last minutes.
func latest(t *testing.T, addr string) time.Duration {
	t.Helper()
	res, err := http.Get("http://" + addr + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var s struct {
		Uplink struct {
			LateP99 float64 `json:"live_late_p99_ms"`
		} `json:"uplink"`
	}
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return time.Duration(s.Uplink.LateP99) * time.Millisecond
}
