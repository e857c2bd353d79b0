package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/store"
)

var pulseKills = flag.Int("pulsekills", 50, "how often TestPulsesOverKills kills the gateway")

// A pulseLine is a simulated line, moved through a named pipe.
type pulseLine struct {
	t    *testing.T
	file *os.File
	sent atomic.Int64

	kills []time.Time // of the gateway
}

func newPulseLine(t *testing.T, path string) *pulseLine {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // pulses that nobody took yet stay in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &pulseLine{t: t, file: f}
}

// pulse sends pulses, one about every 2 ms, until stop is closed.
func (l *pulseLine) pulse(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(4000)) * time.Microsecond):
		}
		l.sent.Add(1) // first: a total is never ahead of it
		if _, err := l.file.WriteString("10"); err != nil {
			l.t.Error(err)
			return
		}
	}
}

// newMeter gives a gateway with a pulse counter on that line, and no cloud.
func newMeter(t *testing.T, line, listen string) (g *testGateway, state string) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	text := fmt.Sprintf("version = 1\n[gateway]\nid = \"meter\"\n[store]\ndir = %q\nflush_interval = \"100ms\"\n"+
		"[local]\nlisten = %q\nview = \"open\"\n"+
		"[[device]]\nid = \"water\"\ndriver = \"pulse-counter\"\nchip = \"sim\"\nline = %q\ninterval = \"20ms\"\n", state, listen, line)
	return &testGateway{config: write(t, filepath.Join(dir, "fieldgate.toml"), text), log: filepath.Join(dir, "log"), program: program}, state
}

// totalsSeen gives the totals of what was seen on /ws.
func totalsSeen(seen []e2e.Reading) []e2e.Reading {
	return slices.DeleteFunc(slices.Clone(seen), func(r e2e.Reading) bool { return r.Quantity != "count" })
}

// The gateway is killed again and again while pulses come; none come while it is
// dead. The total is never more than was sent and never falls within a life; at
// the end it is what was sent, or events say where the difference may have gone.
func TestPulsesOverKills(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "line")
	line := newPulseLine(t, path)
	addr := e2e.FreeAddr(t)
	g, state := newMeter(t, path, addr)
	screen := e2e.Watch(t, addr)
	for n := range *pulseKills + 1 {
		from := screen.Count()
		g.start(t)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { defer close(stopped); line.pulse(stop) }()
		screen.Await(t, "totals of a new life", from, func(rs []e2e.Reading, _ e2e.Status) bool { return len(totalsSeen(rs)) > 2 })
		<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond)
		if n < *pulseKills {
			g.end(t, syscall.SIGKILL)
			line.kills = append(line.kills, time.Now())
		}
		close(stop)
		<-stopped
		if n < *pulseKills {
			continue
		}
		from = screen.Count()
		screen.Await(t, "totals of a line that is still", from, func(rs []e2e.Reading, _ e2e.Status) bool {
			rs = totalsSeen(rs)
			k := len(rs)
			return k > 10 && rs[k-1].Value == rs[k-10].Value
		})
		g.end(t, syscall.SIGTERM)
	}
	seen, _, _ := screen.Snapshot()
	line.judge(totalsSeen(seen), pulsesLostIn(t, state))
}

// pulsesLostIn gives the events of a store about pulses, the oldest first.
func pulsesLostIn(t *testing.T, dir string) (all []gateway.PulsesLost) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	board, err := clock.New("/", quiet)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Inspect(store.Options{Dir: dir, FlushInterval: time.Second, HistoryFlush: time.Minute,
		Clock: board, Conditions: health.New(quiet), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Leave()
	for _, ev := range s.Events(1 << 20) {
		var p gateway.PulsesLost
		if ev.Kind != gateway.EventPulsesLost {
			continue
		}
		if err := json.Unmarshal(ev.Body, &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// judge compares the totals with what was sent.
func (l *pulseLine) judge(seen []e2e.Reading, lost []gateway.PulsesLost) {
	l.t.Helper()
	sent := float64(l.sent.Load())
	for i, r := range seen {
		if r.Value > sent || i > 0 && r.Epoch == seen[i-1].Epoch && r.Value < seen[i-1].Value {
			l.t.Errorf("a total of %v, after %v; %v were sent", r.Value, seen[max(i-1, 0)].Value, sent)
		}
	}
	last := seen[len(seen)-1]
	if last.Value > sent {
		l.t.Fatalf("the total is %v, but %v were sent", last.Value, sent)
	}
	for i, p := range lost {
		known := !p.From.IsZero() && p.After != nil && !p.To.Before(p.From) || p.Total == 0
		if p.Pulses != "unknown" || !known || i > 0 && p.Total < lost[i-1].Total {
			l.t.Errorf("event %d: %+v", i, p)
		}
	}
	// A life that was killed before its first flush left neither readings nor an event: the span of the next
	// one's event holds both kills.
	for _, at := range l.kills {
		if !slices.ContainsFunc(lost, func(p gateway.PulsesLost) bool { return !at.Before(p.From) && !at.After(p.To) }) {
			l.t.Errorf("no event has the kill at %v in its span", at)
		}
	}
	// What a life had shown and the next did not go on from is in such a span.
	falls, fallen := 0, 0.0
	for i := 1; i < len(seen); i++ {
		if r, before := seen[i], seen[i-1]; r.Epoch != before.Epoch && r.Value < before.Value {
			falls, fallen = falls+1, fallen+before.Value-r.Value
		}
	}
	l.t.Logf("%d kills: %v pulses sent, a total of %v; %v lost in %d spans that events tell, %d of which cost totals that were seen (%v)",
		*pulseKills, sent, last.Value, sent-last.Value, len(lost), falls, fallen)
}
