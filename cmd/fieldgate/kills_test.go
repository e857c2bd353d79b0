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

	"github.com/fieldgate/fieldgate/packaging/witness"
)

var (
	kills    = flag.Int("kills", 50, "how often TestKilledAtAnyTime kills the daemon")
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

// Promises 1 and 2, with the real programs: the daemon is killed at any time,
// again and again, while the line to the cloud comes and goes. At the end each
// reading seen on site is in the cloud's log once, or in the gap of the epoch
// that was killed and no older than the loss window.
func TestKilledAtAnyTime(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("%d kills, seed %d (-killseed)", *kills, seed)
	cloud := newCloud(t, "plant-7")
	addr := witness.FreeAddr(t)
	st := newStation(t, cloud, addr)
	cloud.Start(t)
	line := newFlapping(t, cloud.Addr)
	st.dialThrough(t, cloud.Addr, line.listener.Addr().String())
	screen := witness.Watch(t, addr)
	var killed []witness.Reading // the last one seen of each life
	var window time.Duration
	for range *kills {
		from := screen.Count()
		st.start(t)
		screen.Await(t, "a reading of the new life", from, func(rs []witness.Reading, _ witness.Status) bool {
			return slices.ContainsFunc(rs, func(r witness.Reading) bool { return len(killed) == 0 || r.Epoch != killed[len(killed)-1].Epoch })
		})
		for range random.IntN(3) { // the line flaps, within a second
			line.set(random.IntN(2) == 0)
			<-time.After(time.Duration(random.IntN(400)) * time.Millisecond)
		}
		if line.set(random.IntN(4) > 0); random.IntN(6) == 0 { // now and then there is time to drain
			<-time.After(1500 * time.Millisecond)
		}
		<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
		st.end(t, syscall.SIGKILL)
		seen, status, _ := screen.Snapshot()
		killed = append(killed, seen[len(seen)-1])
		window = max(window, time.Duration(status.Store.LossWindow*float64(time.Second)))
	}
	line.set(true)
	st.start(t)
	held, took := cloud.Await(t, "the ends of all epochs that were killed", func(h witness.Log) bool {
		return !slices.ContainsFunc(killed, func(r witness.Reading) bool { return h.Ended[r.Epoch] == "" })
	})
	seen, _, _ := screen.Snapshot()
	window += 300 * time.Millisecond // the commit under way may have been slower than all before
	lost := 0
	for _, last := range killed {
		own := slices.DeleteFunc(slices.Clone(seen), func(r witness.Reading) bool { return r.Epoch != last.Epoch })
		for _, r := range held.Lacks(own) {
			lost++
			if age := last.Timestamp.Sub(r.Timestamp); age > window || !held.Explained(r.Name()) {
				t.Errorf("lost: %s/%d, %v before the last one seen (window %v), in a gap: %v", r.Epoch, r.Seq, age, window, held.Explained(r.Name()))
			}
		}
	}
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	t.Logf("%d kills: %d readings seen on site, %d held by the cloud, %d lost within the window of %v; told %v after the last start",
		len(killed), len(seen), len(held.Readings), lost, window, took.Round(time.Millisecond))
}

// dialThrough has the gateway connect to another address.
func (s *station) dialThrough(t *testing.T, cloud, through string) {
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
