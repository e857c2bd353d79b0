package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A testGateway is a gateway as a process of its own, with simulated chips.
type testGateway struct {
	config string
	log    string
	cmd    *exec.Cmd

	program func(t *testing.T, args ...string) *exec.Cmd // how it is started
}

func newTestGateway(t *testing.T, cloud *e2e.Cloud, listen string) *testGateway {
	t.Helper()
	dir := t.TempDir()
	token := write(t, filepath.Join(dir, "token"), cloud.Enrol(t))
	text := fmt.Sprintf("version = 1\n[gateway]\nid = %q\n[uplink]\nurl = %q\nca = %q\ntoken_file = %q\n"+
		"[store]\ndir = %q\nflush_interval = \"500ms\"\n[local]\nlisten = %q\nview = \"open\"\n",
		cloud.Gateway, cloud.URL(), filepath.Join(cloud.State, "ca.pem"), token, filepath.Join(dir, "state"), listen)
	st := &testGateway{config: write(t, filepath.Join(dir, "fieldgate.toml"), text), log: filepath.Join(dir, "log"), program: program}
	st.setChips(t, 4, 20*time.Millisecond)
	return st
}

// setChips gives the board simulated chips, in the place of those it has.
func (s *testGateway) setChips(t *testing.T, n int, interval time.Duration) {
	t.Helper()
	old, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(old), "[[device]]")
	for i := range n {
		text += fmt.Sprintf("[[device]]\nid = \"chip-%d\"\ndriver = \"lm75\"\nmodel = \"tmp105\"\nbus = \"sim-%d\"\n"+
			"address = 0x%x\ninterval = %q\n", i, i%5, 0x48+i/5, interval)
	}
	write(t, s.config, text)
}

func (s *testGateway) start(t *testing.T) {
	t.Helper()
	s.startAt(t, "")
}

// startAt starts it with a socket for the command line tools; "": none.
func (s *testGateway) startAt(t *testing.T, socket string) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.program(t, "run", "--config", s.config)
	if socket != "" {
		s.cmd.Args = append(s.cmd.Args, "--control", socket)
	}
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := s.cmd
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // ended already, most often
		if text, err := os.ReadFile(s.log); t.Failed() && err == nil {
			t.Logf("the gateway's log:\n%s", text)
		}
	})
}

// end sends a signal and waits; an orderly end has to succeed.
func (s *testGateway) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	_ = s.cmd.Process.Signal(signal)
	if err := s.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		t.Errorf("the gateway did not stop in order: %v", err)
	}
}

// Promises 1, 2 and 3, with the real programs: the cloud is killed and comes
// back, the gateway is killed in the outage and comes back, then is stopped in
// order. Of all that was seen on site, everything is in the cloud's log once,
// or inside the gap of the epoch that was killed, no older than the loss
// window.
func TestEveryReadingIsAccountedFor(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	cloud.Start(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	online := func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State == "online" }
	screen.Await(t, "uplink online", 0, online)
	more := func(n int) {
		screen.Await(t, fmt.Sprintf("%d more readings", n), screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= n })
	}
	more(200)

	cloud.Kill(t)
	more(200)
	cloud.Start(t)
	seen, _, _ := screen.Snapshot()
	cloud.AwaitAll(t, seen) // an outage costs nothing

	cloud.Kill(t)
	lateness := e2e.Lateness(t)
	more(400)
	st.end(t, syscall.SIGKILL)
	late := lateness()
	seen, status, _ := screen.Snapshot()
	cut := seen[len(seen)-1]
	st.start(t)
	screen.Await(t, "a new epoch", len(seen), func(rs []e2e.Reading, _ e2e.Status) bool {
		return slices.ContainsFunc(rs, func(r e2e.Reading) bool { return r.Epoch != cut.Epoch })
	})
	cloud.Start(t)
	held, _ := cloud.Await(t, "the end of the epoch that was killed", func(h e2e.Log) bool { return h.Ended[cut.Epoch] != "" })
	// The commit that was under way when the kill came may have been slower than all before,
	// and the machine late to give its three steps their turn.
	slower := 300*time.Millisecond + 3*late
	window := slower + time.Duration(status.Store.LossWindow*float64(time.Second))
	for _, r := range held.Lacks(seen) {
		if age := cut.Timestamp.Sub(r.Timestamp); age > window {
			t.Errorf("lost: %s/%d, taken %v before the last one seen; the loss window is %v", r.Epoch, r.Seq, age, window)
		}
		if !held.Explained(r.Name()) {
			t.Errorf("lost and in no gap: %s/%d", r.Epoch, r.Seq)
		}
	}
	lost := len(held.Lacks(seen))

	more(100)
	st.end(t, syscall.SIGTERM)
	from := screen.Count()
	st.start(t)
	screen.Await(t, "readings after an orderly stop", from, func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) > 50 })
	all, _, _ := screen.Snapshot()
	after := slices.DeleteFunc(slices.Clone(all), func(r e2e.Reading) bool { return r.Epoch == cut.Epoch })
	cloud.AwaitAll(t, after) // an orderly stop costs nothing
	held, _ = cloud.Await(t, "the event of each of three starts", func(h e2e.Log) bool { return h.Boots() == 3 })
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	t.Logf("%d readings seen on site, %d held by the cloud, %d lost to the kill (window %v)", len(all), len(held.Readings), lost, window)
}
