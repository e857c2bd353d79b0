package jetstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ports gives free TCP ports of the loopback.
func ports(t testing.TB, n int) []int {
	t.Helper()
	var free []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		free = append(free, ln.Addr().(*net.TCPAddr).Port)
	}
	return free
}

// nodeOptions are those of one of the servers of a cluster, given by the ports
// of its routes.
func nodeOptions(i int, routes []int, port int, dir string) *server.Options {
	opt := &server.Options{
		ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: port, NoSigs: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20, SyncAlways: true,
		Cluster: server.ClusterOpts{Name: "fg", Host: "127.0.0.1", Port: routes[i], NoAdvertise: true},
	}
	for _, r := range routes {
		opt.Routes = append(opt.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", r)})
	}
	return opt
}

// cluster starts three servers in this process and gives their addresses.
func cluster(t *testing.T) (nodes []*server.Server, urls string) {
	t.Helper()
	free := ports(t, 6)
	var list []string
	for i := range 3 {
		s, err := server.NewServer(nodeOptions(i, free[:3], free[3+i], t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		nodes = append(nodes, s)
		list = append(list, s.ClientURL())
	}
	ready(t, nodes)
	return nodes, strings.Join(list, ",")
}

// ready waits until a cluster can make streams.
func ready(t *testing.T, nodes []*server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		n := 0
		for _, s := range nodes {
			if s.JetStreamIsLeader() {
				n = len(s.JetStreamClusterPeers())
			}
		}
		if n == len(nodes) {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the cluster did not come up")
		}
	}
}

func TestCluster(t *testing.T) {
	nodes, urls := cluster(t)
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
	if _, err := l.Append(t.Context(), "a", 1, cloud.Record{ID: "x", Kind: cloud.KindOpen}); !errors.Is(err, cloud.ErrFenced) {
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
	if _, err := second.Put(t.Context(), "ledger.a", nil, rev+1, 0); !errors.Is(err, cloud.ErrRevision) {
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
	stop, err := to.On("cmd.g", func(string, []byte) []byte { return []byte("sent") })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil { // interest takes its time to spread
		if got, err := from.Ask(ctx, "cmd.g", nil); err == nil && string(got) == "sent" {
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
	r := cloud.Record{ID: fmt.Sprintf("%s%d", g, w.n), Prev: prev.ID, PrevSeq: prev.Seq, Kind: cloud.KindOpen, Body: []byte("body")}
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

// TestSingleServerElsewhere is not known to sync before it answers.
func TestSingleServerElsewhere(t *testing.T) {
	opt := &server.Options{ServerName: "one", Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30}
	s, err := server.NewServer(opt)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("not ready")
	}
	_, err = jetstream.Open(t.Context(), jetstream.Options{URL: s.ClientURL(), Logger: slog.New(slog.DiscardHandler)})
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

// oldServer says in its first line that it is of a version, and takes what
// comes.
func oldServer(t *testing.T, version string, payload int) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
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
		fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"proto\":1,\"headers\":true,\"jetstream\":true,\"max_payload\":%d}\r\n", version, payload)
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
		_, err := jetstream.Open(t.Context(), jetstream.Options{URL: oldServer(t, c.version, c.payload), Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.version, err, c.says)
		}
	}
}
