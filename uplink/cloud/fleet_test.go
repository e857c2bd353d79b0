package cloud_test

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

// With -fleet of 1000 and more the figures of the issue are demanded, not only
// shown: a small fleet is back at once, and its memory is lost in that of the
// process.
var fleetSize = flag.Int("fleet", 50, "gateways in the tests of a fleet")

const (
	demandFrom   = 1000
	acceptRate   = 150      // sessions a second, of which the server's spread comes
	maxIdle      = 40 << 10 // bytes of memory for an idle gateway
	maxLate      = 10 * time.Second
	fleetPatient = 3 * time.Minute
)

// A fleet is many gateways with the whole of package uplink, in this process,
// and a server in another.
type fleet struct {
	*fleetServer
	n    int
	stop context.CancelFunc
	ups  []*uplink.Uplink
}

type steadyClock time.Time

func (c steadyClock) Stamp() gateway.Stamp {
	return gateway.Stamp(time.Since(time.Time(c)).Microseconds())
}
func (c steadyClock) Anchor() gateway.Anchor { return gateway.Anchor{Boot: gateway.BootID{1}} }

func newFleet(t *testing.T, n int) *fleet {
	raiseFiles()
	f := &fleet{fleetServer: &fleetServer{t: t, dir: t.TempDir()}, n: n}
	creds := keyring.Credentials{Dir: f.dir + "/gateways"}
	tokens := make([]string, n)
	var adding sync.WaitGroup
	for part := range 8 {
		adding.Go(func() {
			for i := part; i < n; i += 8 {
				token, err := creds.Add(fmt.Sprintf("g%d", i))
				if err != nil {
					t.Error(err)
				}
				tokens[i] = token
			}
		})
	}
	adding.Wait()
	f.start()
	pem, err := os.ReadFile(f.dir + "/" + keyring.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	silent := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range n {
		up, err := uplink.New(uplink.Options{
			Route: uplink.Route{
				URL: "wss://" + f.addr + "/v1/gateway", Authorities: func() (*x509.CertPool, error) { return pool, nil },
			},
			Identity: uplink.Identity{
				GatewayID: fmt.Sprintf("g%d", i), Software: "fieldgate/test",
				Credential: uplinktest.Token(func() (string, error) { return tokens[i], nil }),
			},
			Store: uplink.Store{Source: uplinktest.NewStore()}, Time: uplink.Time{Clock: steadyClock(time.Now())},
			Conditions: health.New(silent), Log: silent,
		})
		if err != nil {
			t.Fatal(err)
		}
		f.ups = append(f.ups, up)
		running.Go(func() { _ = up.Run(ctx) })
	}
	f.stop = func() { stop(); running.Wait() }
	return f
}

// allOpen waits until every gateway has opened a session since the server's
// newest start.
func (f *fleet) allOpen() []time.Time {
	f.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if at := f.sessions(); len(at) >= f.n {
			return at
		}
		if time.Since(began) > fleetPatient {
			f.t.Fatalf("%d of %d gateways are back after %s", len(f.sessions()), f.n, fleetPatient)
		}
	}
}

// curve gives how many came in each second, and when the last one did.
func curve(from time.Time, at []time.Time) (perSecond []int, last time.Duration) {
	for _, t := range at {
		second := int(t.Sub(from) / time.Second)
		for len(perSecond) <= second {
			perSecond = append(perSecond, 0)
		}
		perSecond[second]++
		last = max(last, t.Sub(from))
	}
	return perSecond, last
}

// TestFleetComesBack restarts the server under its gateways, once in order and
// once by a kill: they come back spread over the time that the server said.
func TestFleetComesBack(t *testing.T) {
	f := newFleet(t, *fleetSize)
	defer func() { f.stop(); f.end(syscall.SIGTERM) }()
	f.allOpen()
	spread := time.Duration(1+f.n/acceptRate) * time.Second
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		began := time.Now()
		f.end(sig)
		down := time.Since(began)
		f.start()
		perSecond, last := curve(began, f.allOpen())
		most := 0
		for _, n := range perSecond {
			most = max(most, n)
		}
		mean := float64(f.n) / spread.Seconds()
		t.Logf("%d gateways after %s (%s down): spread %s, the last after %s, at most %d in a second, %.0f on average: %v",
			f.n, sig, down.Round(time.Millisecond), spread, last.Round(time.Millisecond), most, mean, perSecond)
		if f.n < demandFrom {
			continue
		}
		if float64(most) > 2*mean {
			t.Errorf("%d in one second are more than twice the average of %.0f", most, mean)
		}
		if last > spread+maxLate {
			t.Errorf("the last gateway came after %s, the spread is %s", last, spread)
		}
	}
}

// TestIdleMemory measures what an idle gateway costs the server: the memory
// with many of them less that with a few, which is the server's own.
func TestIdleMemory(t *testing.T) {
	measure := func(n int) footprint {
		f := newFleet(t, n)
		defer func() { f.stop(); f.end(syscall.SIGTERM) }()
		f.allOpen()
		return f.footprint()
	}
	few := 10
	before, after, n := measure(few), measure(*fleetSize), *fleetSize-few
	each := func(part func(footprint) int) string {
		return fmt.Sprintf("%.1f KiB", float64(part(after)-part(before))/float64(n)/1024)
	}
	t.Logf("%d idle gateways: %s each (heap %s, of which %s live, stacks %s, before the garbage is collected %s), %.2f goroutines each",
		*fleetSize,
		each(func(f footprint) int { return f.anon }), each(func(f footprint) int { return f.heap }),
		each(func(f footprint) int { return f.live }), each(func(f footprint) int { return f.stacks }),
		each(func(f footprint) int { return f.lazy }), float64(after.goroutines-before.goroutines)/float64(n))
	if got := (after.anon - before.anon) / n; *fleetSize >= demandFrom && got > maxIdle {
		t.Errorf("an idle gateway costs %d bytes, at most %d are meant", got, maxIdle)
	}
}
