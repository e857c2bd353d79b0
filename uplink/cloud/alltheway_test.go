package cloud_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/command"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

// A board is a gateway of real parts, its outputs excepted, that can lose its
// line and its power.
type board struct {
	s   *site
	dir string
	act func(id string) // what happens while a command acts

	mu    sync.Mutex
	acted []string
	conns []net.Conn
	dead  bool
	addr  string // of the server

	stop func()
}

func (b *board) Check(gateway.Command) error { return nil }

func (b *board) Act(_ context.Context, c gateway.Command) (*float64, error) {
	b.mu.Lock()
	b.acted = append(b.acted, c.ID)
	b.mu.Unlock()
	b.act(c.ID)
	return c.Value, nil
}

func (b *board) did(id string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.acted {
		if a == id {
			n++
		}
	}
	return n
}

// find learns where the server is.
func (b *board) find() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addr = b.s.http.Listener.Addr().String()
}

// cut breaks the line, for ever if the board is dead.
func (b *board) cut(dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = dead
	for _, c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
}

func (b *board) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	b.mu.Lock()
	addr := b.addr
	b.mu.Unlock()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.dead {
		err = errors.Join(net.ErrClosed, conn.Close())
	}
	if err == nil {
		b.conns = append(b.conns, conn)
	}
	return conn, err
}

// start starts it on a board whose clock says 1970 and does not claim to be
// right.
func (b *board) start(boot byte) {
	t := b.s.t
	t.Helper()
	b.find()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	c, table := clock.NewFake(gateway.BootID{boot}), health.New(quiet)
	c.Set(time.Unix(1000, 0), gateway.ClockNone, 0)
	st, err := store.Open(store.Options{
		Dir: b.dir, FlushInterval: time.Second, HistoryFlush: time.Minute, Rate: 1000, Burst: 10, Clock: c, Conditions: table, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	out := uplink.NewOutbox()
	door := command.New(command.Options{Records: st, Executor: b, Clock: c, Tell: out.Result, Log: quiet})
	pool := x509.NewCertPool()
	pool.AddCert(b.s.http.Certificate())
	up, err := uplink.New(uplink.Options{
		Route: uplink.Route{
			URL: "wss://example.com/v1/gateway", Authorities: func() (*x509.CertPool, error) { return pool, nil }, Dial: b.dial,
		},
		Identity: uplink.Identity{
			GatewayID: b.s.id, InstallID: st.InstallID(), Software: "test",
			Credential: uplinktest.Token(func() (string, error) { return b.s.token, nil }),
		},
		Store:    uplink.Store{Source: st},
		Handlers: uplink.Handlers{Commands: door, Outgoing: out},
		Time:     uplink.Time{Clock: c}, Conditions: table, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{st.Run, door.Run, up.Run} {
		wg.Go(func() { _ = run(ctx) })
	}
	b.stop = func() {
		cancel()
		wg.Wait()
		_ = st.Close()
	}
}

// Promise 7 from the operator to the output and back, with real parts: a
// command acts once and its result arrives although the answer is lost, the
// server restarts or the gateway loses power while it acts; it expires by the
// gateway's own clock, which is wrong by decades.
func TestCommandsAllTheWay(t *testing.T) {
	s := newSite(t, nil)
	release := make(chan struct{})
	b := &board{s: s, dir: filepath.Join(t.TempDir(), "state")}
	b.act = func(id string) {
		switch id {
		case "cut", "cut-once":
			b.cut(false)
		case "slow", "restart", "power":
			<-release
		}
	}
	b.start(1)
	want := func(id string, state gateway.CommandState, acts int) {
		t.Helper()
		if c := s.command(id); c.State != state || b.did(id) != acts {
			t.Errorf("%s is %+v, acted %d times; want %s and %d", id, c, b.did(id), state, acts)
		}
	}
	begins := func(id string) {
		t.Helper()
		for began := time.Now(); b.did(id) == 0; <-time.After(10 * time.Millisecond) {
			if time.Since(began) > answerWithin {
				t.Fatalf("%s does not begin", id)
			}
		}
	}
	s.post("", fmt.Sprintf(setPump, "plain", ""))
	want("plain", gateway.CommandDone, 1)

	s.post("", fmt.Sprintf(setPump, "slow", ""))
	begins("slow")
	s.post("", fmt.Sprintf(setPump, "short", `,"ttl_ms":300`)) // its device is busy for longer
	want("short", gateway.CommandExpired, 0)
	release <- struct{}{}
	want("slow", gateway.CommandDone, 1)

	s.post("", fmt.Sprintf(setPump, "cut", ""))
	want("cut", gateway.CommandDone, 1)
	s.post("", fmt.Sprintf(setPump, "cut-once", `,"once":true`))
	want("cut-once", gateway.CommandDone, 1)

	s.post("", fmt.Sprintf(setPump, "restart", ""))
	begins("restart")
	s.stop()
	s.start(nil)
	b.find()
	release <- struct{}{}
	want("restart", gateway.CommandDone, 1)

	s.post("", fmt.Sprintf(setPump, "power", ""))
	begins("power")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(b.dir)); err != nil { // what a power cut leaves
		t.Fatal(err)
	}
	b.cut(true)
	after := &board{s: s, dir: image, act: func(string) {}}
	after.start(2)
	if c := s.command("power"); c.State != gateway.CommandUnknown || after.did("power") != 0 {
		t.Errorf("after a power cut it is %+v, acted %d times more", c, after.did("power"))
	}
	release <- struct{}{}
	b.stop()
	after.stop()
}
