package jetstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestCluster(t *testing.T) {
	nodes, urls := natstest.Cluster(t, 3)
	l := open(t, jetstream.Options{URL: urls})
	if l.Level() != wire.LevelReplicated {
		t.Errorf("level %s", l.Level())
	}
	if c := l.StreamConfig(); c.Replicas != 3 || c.MaxAge != 0 || c.MaxBytes > 0 {
		t.Errorf("stream %+v", c)
	}
	w := newWriter(t, l)
	w.add("a", "b", "a")
	if got := scan(t, l, 0); got != "a1 b2 a3" {
		t.Errorf("got %s", got)
	}
	if _, err := l.Append(t.Context(), "a", 1, record.Record{ID: "x", Kind: record.KindOpen}); !errors.Is(err, record.ErrFenced) {
		t.Errorf("behind another than the last: %v", err)
	}
	rev := put(t, l, "ledger.a", "1", 0)
	lead := l.Leader(t.Context())
	elsewhere := nodes[0]
	if elsewhere.Name() == lead {
		elsewhere = nodes[1]
	}
	broken := make(chan error, 100)
	second := open(t, jetstream.Options{URL: elsewhere.ClientURL(), Interrupted: func(err error) { broken <- err }})
	if _, err := second.Put(t.Context(), "ledger.a", nil, rev+1, 0); !errors.Is(err, record.ErrRevision) {
		t.Errorf("put at a wrong revision: %v", err)
	}
	ask(t, l, second)
	if got := strings.Join(consumeUntil(t, second, 10, 3), "|"); strings.ReplaceAll(got, "|", " ") != "a1 b2 a3" {
		t.Errorf("consumed %s", got)
	}
	w.add("b")
	if got := strings.Join(consumeUntil(t, l, 10, 1), "|"); got != "b4" {
		t.Errorf("the other server consumed %s", got)
	}
	// The leader goes: who is connected to another server is told too.
	for _, s := range nodes {
		if s.Name() == lead {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	if err := <-broken; !strings.Contains(err.Error(), "leads the log's stream now") {
		t.Errorf("told of %v", err)
	}
	w.settled("a")
	if got := scan(t, l, 0); got != "a1 b2 a3 b4 a5" {
		t.Errorf("got %s", got)
	}
}

// ask asks from one server to the other.
func ask(t *testing.T, from, to *jetstream.Log) {
	t.Helper()
	stop, err := to.Subscribe("cmd.g", func(string, []byte) []byte { return []byte("sent") })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil { // interest takes its time to spread
		if got, err := from.Request(ctx, "cmd.g", nil); err == nil && string(got) == "sent" {
			return
		}
	}
	t.Error("the other server does not answer")
}

// settled appends a record through trouble: what became of an append without
// an answer is found out by reading.
func (w *writer) settled(g string) {
	w.t.Helper()
	w.n++
	prev := w.last[g]
	r := record.Record{ID: fmt.Sprintf("%s%d", g, w.n), Prev: prev.ID, PrevSeq: prev.Seq, Kind: record.KindOpen, Body: []byte("body")}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	for {
		seq, err := w.l.Append(ctx, g, prev.Seq, r)
		if err != nil {
			last, lerr := w.l.Last(ctx, g)
			switch {
			case lerr == nil && last.ID == r.ID:
				seq, err = last.Seq, nil
			case lerr == nil && last.ID != prev.ID || ctx.Err() != nil:
				w.t.Fatalf("%v; the last is %s, %v", err, last.ID, lerr)
			}
		}
		if err == nil {
			r.Seq = seq
			w.last[g] = r
			return
		}
	}
}

// TestLeaderIsKilledUnderLoad kills or stops the server that leads the log, in
// rounds, while records are appended; afterwards each is there once.
func TestLeaderIsKilledUnderLoad(t *testing.T) {
	nodes, urls := natstest.Processes(t, 3)
	var l *jetstream.Log
	for start := time.Now(); l == nil; {
		var err error
		l, err = jetstream.Open(t.Context(), jetstream.Options{URL: urls, Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err != nil && time.Since(start) > 30*time.Second {
			t.Fatal(err)
		}
	}
	t.Cleanup(l.Close)
	w := newWriter(t, l)
	for round := range 2 {
		var all sync.WaitGroup
		all.Go(func() { trouble(t, l, nodes, round) })
		for range 200 {
			w.settled("g")
		}
		all.Wait()
		w.settled("g")
	}
	want := 0
	for e, err := range l.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if want++; e.ID != fmt.Sprintf("g%d", want) {
			t.Fatalf("record %d is %s", want, e.ID)
		}
	}
	if want != 402 {
		t.Errorf("%d records of 402", want)
	}
}

// trouble takes the leader away until another leads: it kills it and starts it
// again, or stops it.
func trouble(t *testing.T, l *jetstream.Log, nodes []*natstest.Process, round int) {
	lead := otherLeader(t, l, "")
	for _, n := range nodes {
		switch {
		case n.Name() != lead:
		case round%2 == 0:
			n.Kill()
			otherLeader(t, l, lead)
			n.Start()
		default:
			n.Signal(syscall.SIGSTOP)
			otherLeader(t, l, lead)
			n.Signal(syscall.SIGCONT)
		}
	}
}

// otherLeader waits until a server leads the log that is not this one.
func otherLeader(t *testing.T, l *jetstream.Log, than string) string {
	for start := time.Now(); time.Since(start) < 40*time.Second; {
		if now := l.Leader(t.Context()); now != "" && now != than {
			return now
		}
	}
	t.Errorf("no server leads instead of %q", than)
	return ""
}

// TestSingleServerElsewhere is not known to sync before it answers.
func TestSingleServerElsewhere(t *testing.T) {
	s := serve(t, nil)
	_, err := jetstream.Open(t.Context(), jetstream.Options{URL: s.ClientURL(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--nats-replicas") {
		t.Errorf("three replicas on one server: %v", err)
	}
	l := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	if l.Level() != wire.LevelReceived {
		t.Errorf("level %s", l.Level())
	}
	newWriter(t, l).add("a", "a")
	l.Close()
	l = open(t, jetstream.Options{URL: s.ClientURL()}) // as it is
	if got := scan(t, l, 0); got != "a1 a2" || l.StreamConfig().Replicas != 1 {
		t.Errorf("got %s, %+v", got, l.StreamConfig())
	}
}

// oldServerAt says in its first line that it is of a version, and takes what
// comes.
func oldServerAt(t *testing.T, addr, version string, payload int) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"proto\":1,\"headers\":true,\"jetstream\":true,\"max_payload\":%d}\r\n",
			version, payload)
		for sc := bufio.NewScanner(conn); sc.Scan(); {
			if sc.Text() == "PING" {
				fmt.Fprint(conn, "PONG\r\n")
			}
		}
	}()
	return "nats://" + ln.Addr().String()
}

func TestServersThatCannotServe(t *testing.T) {
	for _, c := range []struct {
		version string
		payload int
		says    string
	}{
		{"2.10.22", 1 << 20, `"2.10.22"; fieldgate-cloud needs 2.11 or newer`},
		{"1.4.1", 1 << 20, "needs 2.11"},
		{"", 1 << 20, "needs 2.11"},
		{"new", 1 << 20, "needs 2.11"},
		{"2.11.0-RC.1", 64 << 10, "max_payload"},
		{"3.0", 64 << 10, "max_payload"},
	} {
		_, err := jetstream.Open(t.Context(), jetstream.Options{URL: oldServerAt(t, "127.0.0.1:0", c.version, c.payload),
			Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.version, err, c.says)
		}
	}
}
