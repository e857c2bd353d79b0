package uplink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/uplinktest"
)

// patience bounds every wait for real programs; it only ends tests that fail.
const patience = 3 * time.Minute

// A loopback is a gateway and a cloud on real sockets of this machine, with room
// for real programs between them.
type loopback struct {
	*testing.T
	ca    *uplinktest.CA
	cloud *uplinktest.Cloud
	addr  string // of the cloud, 127.0.0.1:port
	store *uplinktest.Store
	table *health.Table
	log   *buffer
	up    *uplink.Uplink
}

// onLoopback makes a cloud that listens; nothing is connected before run.
func onLoopback(t *testing.T) *loopback {
	t.Helper()
	log := &buffer{}
	s := &loopback{
		T: t, cloud: &uplinktest.Cloud{Token: token}, store: uplinktest.NewStore(), log: log,
		table: health.New(slog.New(slog.NewTextHandler(log, nil))),
	}
	ca, secure := s.authority("localhost")
	s.ca = ca
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	s.cloud.Serve(ln, secure)
	t.Cleanup(s.cloud.Close)
	return s
}

// authority makes an authority and a server that it knows.
func (s *loopback) authority(name string) (*uplinktest.CA, *tls.Config) {
	s.Helper()
	ca, err := uplinktest.NewCA()
	if err != nil {
		s.Fatal(err)
	}
	secure, err := ca.Server(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		s.Fatal(err)
	}
	return ca, secure
}

func (s *loopback) port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// options are those of a gateway that knows the cloud as localhost.
func (s *loopback) options() uplink.Options {
	return uplink.Options{
		Route: uplink.Route{
			URL:         "wss://localhost:" + s.port() + "/v1/gateway",
			Authorities: func() (*x509.CertPool, error) { return s.ca.Pool, nil },
		},
		Identity: uplink.Identity{
			GatewayID: "plant-7", Software: "fieldgate/test",
			Credential: uplinktest.Token(func() (string, error) { return token, nil }),
		},
		Store: uplink.Store{Source: s.store}, Time: uplink.Time{Clock: boardClock{time.Now()}},
		Conditions: s.table, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
}

// run connects a gateway until the test ends, or until the stop it gives.
func (s *loopback) run(o uplink.Options) (stop func()) {
	s.Helper()
	up, err := uplink.New(o)
	if err != nil {
		s.Fatal(err)
	}
	s.up = up
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = up.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	s.Cleanup(stop)
	return stop
}

// until looks again and again, in real time.
func (s *loopback) until(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			s.Fatalf("not %s; status %+v, conditions %+v\n%s", what, s.up.Status(), s.table.List(), s.log)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *loopback) online() {
	s.Helper()
	s.until("online", func() bool { return s.up.Status().State == uplink.Online })
}

// complete waits until the cloud has what the store has, every name once.
func (s *loopback) complete() {
	s.Helper()
	s.until("complete", func() bool {
		for _, st := range s.store.All() {
			if s.cloud.Held(st.ID).Upto < st.Last {
				return false
			}
		}
		return true
	})
	for _, st := range s.store.All() {
		(&testbed{T: s.T}).contiguous(st, s.cloud.Held(st.ID))
	}
}

// program runs a program of Debian's until the test ends, once it answers on
// addr, if that is given. What it says is told when the test fails.
func program(t *testing.T, addr, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(t, name+" is missing: apt-get install "+name)
	}
	said := &buffer{}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed: it says so
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
	})
	for end := time.Now().Add(patience); addr != ""; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, said)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen on %s: %s", name, addr, said)
		}
	}
	return cmd
}

// skip ends a test that lacks a tool, which in CI is a failure.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip("SKIPPED: " + reason)
}

// freeAddr gives an address of this machine on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// openDir makes a folder for a program that gives up root: the folders of
// TempDir are closed to others.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fieldgate-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// file writes a file for a program that may run as another user.
func file(t *testing.T, dir, name, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// The fixture itself: a gateway and a cloud with nothing between them.
func TestOverRealSockets(t *testing.T) {
	s := onLoopback(t)
	s.store.Append(100)
	s.run(s.options())
	s.online()
	s.complete()
	if st := s.up.Status(); st.Endpoint != "wss://localhost:"+s.port()+"/v1/gateway" || st.Endpoints != nil {
		t.Errorf("%+v", st)
	}
}
