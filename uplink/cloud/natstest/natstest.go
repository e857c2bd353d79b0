// Package natstest starts clusters of the real nats-server for tests: inside
// the test's process, or as processes of their own that can be stopped and
// killed. They listen on the loopback only.
package natstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	readyWithin = 30 * time.Second
	asNode      = "FIELDGATE_TEST_NATS_NODE"
)

// A plan is what a server of a cluster must know.
type plan struct {
	Index  int
	Routes []int // ports, of all servers
	Port   int   // for clients
	Dir    string
}

func (p plan) options() *server.Options {
	opt := &server.Options{
		ServerName: fmt.Sprintf("n%d", p.Index), Host: "127.0.0.1", Port: p.Port, NoSigs: true,
		JetStream: true, StoreDir: p.Dir, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20, SyncAlways: true,
	}
	if len(p.Routes) == 1 {
		return opt // a server alone
	}
	opt.Cluster = server.ClusterOpts{Name: "fg", Host: "127.0.0.1", Port: p.Routes[p.Index], NoAdvertise: true}
	for _, r := range p.Routes {
		opt.Routes = append(opt.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", r)})
	}
	return opt
}

func (p plan) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.Port) }

// plans gives those of n servers.
func plans(t testing.TB, n int) []plan {
	t.Helper()
	var free []int
	for range 2 * n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // not before all are found, so that they differ
		free = append(free, ln.Addr().(*net.TCPAddr).Port)
	}
	var all []plan
	for i := range n {
		all = append(all, plan{i, free[:n], free[n+i], t.TempDir()})
	}
	return all
}

// Cluster starts n servers in this process, which end with the test, and gives
// the URLs of all, joined by commas.
func Cluster(t testing.TB, n int) (nodes []*server.Server, urls string) {
	t.Helper()
	var list []string
	for _, p := range plans(t, n) {
		s, err := server.NewServer(p.options())
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		nodes = append(nodes, s)
		list = append(list, p.url())
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	if !leads(ctx, nodes, n) {
		t.Fatal("the cluster did not come up")
	}
	return nodes, strings.Join(list, ",")
}

// leads waits until one of the nodes leads n.
func leads(ctx context.Context, nodes []*server.Server, n int) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, s := range nodes {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == n {
				return true
			}
		}
		<-tick.C
	}
	return false
}

// A Process is a server of its own. It is the test's program started again:
// TestMain must call Main first.
type Process struct {
	t    testing.TB
	plan plan
	cmd  *exec.Cmd
}

// Name is the server's, as it says who leads.
func (p *Process) Name() string { return fmt.Sprintf("n%d", p.plan.Index) }

// URL is where it listens.
func (p *Process) URL() string { return p.plan.url() }

// Processes starts a cluster of n processes, or one that is alone, which end
// with the test. It does not wait until they serve.
func Processes(t testing.TB, n int) (nodes []*Process, urls string) {
	t.Helper()
	var list []string
	for _, plan := range plans(t, n) {
		p := &Process{t: t, plan: plan}
		p.Start()
		t.Cleanup(p.Kill)
		nodes = append(nodes, p)
		list = append(list, p.URL())
	}
	return nodes, strings.Join(list, ",")
}

// Start starts the server, also after Kill, with the same address and files.
func (p *Process) Start() {
	p.t.Helper()
	text, err := json.Marshal(p.plan)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), asNode+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// Await waits until the server takes connections.
func (p *Process) Await() {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < readyWithin; <-tick.C {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.plan.Port))
		if err == nil {
			_ = conn.Close()
			return
		}
	}
	p.t.Fatalf("%s does not listen", p.Name())
}

// Kill ends it at once, stopped or not, as a power cut of the process would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it may be dead already
}

// Signal sends SIGSTOP or SIGCONT.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Main is a server's whole life, if this process was started to be one: then
// it does not return.
func Main() {
	text := os.Getenv(asNode)
	if text == "" {
		return
	}
	var p plan
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = serve(p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(p plan) error {
	s, err := server.NewServer(p.options())
	if err != nil {
		return err
	}
	s.Start()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
