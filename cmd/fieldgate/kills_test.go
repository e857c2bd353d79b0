package main

import (
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

var (
	kills    = flag.Int("kills", 30, "how often TestKilledAtAnyTime kills the gateway, the cloud or both")
	killSeed = flag.Uint64("killseed", 0, "seed of TestKilledAtAnyTime; 0: another one each time")
)

// A flapping is a line to the cloud that comes and goes at random.
type flapping struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	up    bool
	conns []net.Conn
}

func newFlapping(t *testing.T, to string) *flapping {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flapping{listener: l, to: to, up: true}
	t.Cleanup(func() { _ = l.Close(); f.set(false) })
	go f.accept()
	return f
}

func (f *flapping) accept() {
	for {
		in, err := f.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", f.to)
		if err != nil || !f.take(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1]) // until either side is cut
				_ = pair[0].Close()
			}()
		}
	}
}

func (f *flapping) take(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.up {
		f.conns = append(f.conns, conns...)
	}
	return f.up
}

// set cuts the line, or restores it.
func (f *flapping) set(up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = up
	if !up {
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.conns = nil
	}
}

// A matrix is a gateway, a cloud and a database as processes of their own, any
// of which may die at any time.
type matrix struct {
	t       *testing.T
	random  *rand.Rand
	cloud   *e2e.Cloud
	pg      *e2e.Postgres
	gateway *testGateway
	line    *flapping
	screen  *e2e.Screen

	gatewayUp, databaseUp bool
	killed                []e2e.Reading // the last one seen of each life of the gateway
	window                time.Duration
}

func newMatrix(t *testing.T, random *rand.Rand) *matrix {
	t.Helper()
	m := &matrix{t: t, random: random, cloud: newCloud(t, "plant-7"), pg: e2e.NewPostgres(t), databaseUp: true}
	m.cloud.Flags = []string{"--postgres", m.pg.DSN()}
	addr := e2e.FreeAddr(t)
	m.gateway = newTestGateway(t, m.cloud, addr)
	m.cloud.Start(t)
	m.line = newFlapping(t, m.cloud.Addr)
	m.gateway.dialThrough(t, m.cloud.Addr, m.line.listener.Addr().String())
	m.screen = e2e.Watch(t, addr)
	return m
}

// rise brings up what is down.
func (m *matrix) rise() {
	if !m.databaseUp {
		m.pg.Start(m.t)
		m.databaseUp = true
	}
	if !m.cloud.Running() {
		m.cloud.Start(m.t)
	}
	if m.gatewayUp {
		return
	}
	from := m.screen.Count()
	m.gateway.start(m.t)
	m.gatewayUp = true
	m.screen.Await(m.t, "a reading of the new life", from, func(rs []e2e.Reading, _ e2e.Status) bool {
		return slices.ContainsFunc(rs, func(r e2e.Reading) bool {
			return len(m.killed) == 0 || r.Epoch != m.killed[len(m.killed)-1].Epoch
		})
	})
}

// pass lets a random time go by, in which the line flaps.
func (m *matrix) pass() {
	for range m.random.IntN(3) { // within a second
		m.line.set(m.random.IntN(2) == 0)
		<-time.After(time.Duration(m.random.IntN(400)) * time.Millisecond)
	}
	if m.line.set(m.random.IntN(4) > 0); m.random.IntN(6) == 0 { // now and then there is time to drain
		<-time.After(1500 * time.Millisecond)
	}
	<-time.After(time.Duration(m.random.IntN(300)) * time.Millisecond)
}

// kill kills the gateway, the cloud or both, and now and then the database.
func (m *matrix) kill() {
	whom := m.random.IntN(3)
	if whom > 0 {
		m.cloud.Kill(m.t)
	}
	if m.random.IntN(4) == 0 {
		m.pg.Kill(m.t)
		m.databaseUp = false
	}
	if whom == 1 {
		return
	}
	m.gateway.end(m.t, syscall.SIGKILL)
	m.gatewayUp = false
	seen, status, _ := m.screen.Snapshot()
	m.killed = append(m.killed, seen[len(seen)-1])
	m.window = max(m.window, time.Duration(status.Store.LossWindow*float64(time.Second)))
}

// Promises 1 to 3, with the real programs: the gateway, the cloud or both are
// killed at any time, now and then the database too, again and again, while the
// line comes and goes. At the end each reading seen on site is in the cloud's
// log once, or in the gap of the epoch that was killed and no older than the
// loss window; and the database holds what the log holds.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d kills, seed %d (-killseed)", *kills, seed)
	m := newMatrix(t, rand.New(rand.NewPCG(seed, 1)))
	lateness := e2e.Lateness(t)
	for range *kills {
		m.rise()
		m.pass()
		m.kill()
	}
	m.line.set(true)
	m.rise()
	held, took := m.cloud.Await(t, "the ends of all epochs that were killed", func(h e2e.Log) bool {
		return !slices.ContainsFunc(m.killed, func(r e2e.Reading) bool { return h.Ended[r.Epoch] == "" })
	})
	seen, _, _ := m.screen.Snapshot()
	// The commit under way may have been slower than all before, and the machine late to give its three steps their turn.
	m.window += 300*time.Millisecond + 3*lateness()
	lost := 0
	for _, last := range m.killed {
		own := slices.DeleteFunc(slices.Clone(seen), func(r e2e.Reading) bool { return r.Epoch != last.Epoch })
		for _, r := range held.Lacks(own) {
			lost++
			if age := last.Timestamp.Sub(r.Timestamp); age > m.window || !held.Explained(r.Name()) {
				t.Errorf("lost: %s/%d, %v before the last one seen (window %v), in a gap: %v", r.Epoch, r.Seq, age, m.window, held.Explained(r.Name()))
			}
		}
	}
	m.gateway.end(t, syscall.SIGTERM)
	seen, _, _ = m.screen.Snapshot()
	ofLastLife := slices.DeleteFunc(seen, func(r e2e.Reading) bool {
		return slices.ContainsFunc(m.killed, func(k e2e.Reading) bool { return k.Epoch == r.Epoch })
	})
	m.restart(ofLastLife)
	t.Logf("%d kills, %d of the gateway: %d readings held by the cloud, %d lost within the window of %v; told %v after the last start",
		*kills, len(m.killed), len(held.Readings), lost, m.window, took.Round(time.Millisecond))
}

// restart has the gateway, which has stopped in order, send what is left of
// its last lives, and compares the log with the database.
func (m *matrix) restart(lastLife []e2e.Reading) {
	m.t.Helper()
	m.gateway.start(m.t)
	held, _ := m.cloud.AwaitAll(m.t, lastLife)
	m.gateway.end(m.t, syscall.SIGKILL) // from here on nothing new comes
	for n := -1; n < len(held.Readings); {
		n = len(held.Readings)
		held, _ = m.cloud.Await(m.t, "an answer", func(e2e.Log) bool { return true })
	}
	for _, fault := range held.Faults() {
		m.t.Error(fault)
	}
	var all []e2e.Reading
	for _, rs := range held.Readings {
		all = append(all, rs[0])
	}
	awaitDatabase(m.t, m.pg, all)
	if n := m.pg.Number(m.t, `select count(*) from readings`); n != int64(len(all)) {
		m.t.Errorf("the database holds %d readings, the log %d", n, len(all))
	}
}

// dialThrough has the gateway connect to another address.
func (s *testGateway) dialThrough(t *testing.T, cloud, through string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	_, old, _ := net.SplitHostPort(cloud)
	_, port, _ := net.SplitHostPort(through)
	changed := strings.Replace(string(text), ":"+old+"/v1/gateway", ":"+port+"/v1/gateway", 1)
	if changed == string(text) {
		t.Fatalf("the configuration does not name port %s", old)
	}
	write(t, s.config, changed)
}
