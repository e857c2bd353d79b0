package cloud

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A pipes is a listener whose connections are pipes within the process, so
// that time in a synctest bubble passes while they are silent.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// piped makes a server whose connections are pipes, and gives what dials it
// as gateway "g".
func piped(t *testing.T, opt Options, parts ...part) (*Server, func() *websocket.Conn) {
	opt.Credentials, opt.OperatorToken = keyring.Credentials{Dir: t.TempDir()}, "operator"
	token, err := opt.Credentials.Add("g")
	if err != nil {
		t.Fatal(err)
	}
	opt.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s := inMemory(opt)
	s.parts = append(s.parts, parts...)
	ln := make(pipes)
	hs := &http.Server{Handler: s}
	go func() { _ = hs.Serve(ln) }()
	d := websocket.Dialer{
		Subprotocols: []string{wire.SubprotocolCBOR},
		NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			ln <- theirs
			return ours, nil
		},
	}
	t.Cleanup(func() {
		s.Close()
		close(ln)
		hs.Close()
	})
	return s, func() *websocket.Conn {
		conn, _, err := d.Dial("ws://cloud/v1/gateway", http.Header{"Authorization": {"Bearer " + token}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// connect gives the gateway's end of a connection to a server on l.
func connect(t *testing.T, l record.Log) (*websocket.Conn, *Server) {
	s, dial := piped(t, Options{Log: l})
	return dial(), s
}

// hear gives the next message, which must be an M.
func hear[M wire.Message](t *testing.T, conn *websocket.Conn) M {
	t.Helper()
	_, b, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := m.(M)
	if !ok {
		t.Fatalf("got %T %+v, want %T", m, m, got)
	}
	return got
}

func say(t *testing.T, conn *websocket.Conn, m wire.Message) {
	t.Helper()
	b, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, b); err != nil {
		t.Fatal(err)
	}
}

func TestNoHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := connect(t, &cloudtest.Log{})
		begin := time.Now()
		_, _, err := conn.ReadMessage()
		if !websocket.IsCloseError(err, wire.CloseNoHello) || time.Since(begin) != helloWithin {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

func TestSilentGatewayIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s := connect(t, &cloudtest.Log{})
		say(t, conn, &wire.Hello{GatewayID: "g"})
		ended := make(chan time.Time)
		go func() {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					ended <- time.Now()
					return
				}
			}
		}()
		for range 10 { // pings of either kind keep a session alive
			time.Sleep((defaultMissPings + 1) * defaultPingS * time.Second * 9 / 10)
			say(t, conn, &wire.Ping{})
			time.Sleep((defaultMissPings + 1) * defaultPingS * time.Second * 9 / 10)
			_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		}
		if len(s.sessions()) != 1 {
			t.Fatal("a session that pings was given up")
		}
		begin := time.Now()
		if silent := (<-ended).Sub(begin); silent != (defaultMissPings+1)*defaultPingS*time.Second {
			t.Errorf("given up after %s", silent)
		}
		synctest.Wait()
		if len(s.sessions()) != 0 {
			t.Error("the session is still there")
		}
	})
}

func TestLogInTroubleAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &cloudtest.Log{Fault: times(1<<30, false, record.ErrFull)}
		conn, _ := connect(t, l)
		say(t, conn, &wire.Hello{GatewayID: "g"})
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
			t.Errorf("got %v", err)
		}
	})
}

func TestGatewayThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s := connect(t, &cloudtest.Log{})
		say(t, conn, &wire.Hello{GatewayID: "g"})
		time.Sleep(writeWithin + closeWithin + time.Second)
		synctest.Wait()
		if len(s.sessions()) != 0 {
			t.Error("the session of a gateway that does not read its welcome is still there")
		}
	})
}

func TestAppendUnderWayIsFinished(t *testing.T) {
	l := &cloudtest.Log{}
	c := openOn(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.append(ctx, record.Record{}); err != nil || len(l.Records) != 2 {
		t.Errorf("%v, %d records", err, len(l.Records))
	}
}
