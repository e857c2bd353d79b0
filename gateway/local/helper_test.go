package local

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
)

// A testClock stands still, an hour after boot, at a known wall time.
type testClock struct{ anchor gateway.Anchor }

var testNow = time.Date(2026, 11, 23, 6, 0, 0, 123e6, time.UTC)

const testStamp = gateway.Stamp(3600e6)

func (c testClock) Stamp() gateway.Stamp   { return testStamp }
func (c testClock) Anchor() gateway.Anchor { return c.anchor }

func newTestClock() testClock {
	return testClock{gateway.Anchor{
		Offset:  testNow.UnixMicro() - int64(testStamp),
		Quality: gateway.ClockNTP,
	}}
}

// A logBuffer keeps what was logged. It may be used from many goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var boiler = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

// options are those of an open gateway with one device; the log is kept.
func options() (Options, *logBuffer) {
	log := &logBuffer{}
	return Options{
		Listen:    "127.0.0.1:0",
		View:      "open",
		GatewayID: "plant-7",
		Hub:       live.New(),
		Clock:     newTestClock(),
		Status: func() Status {
			return Status{
				Version: "test",
				Uplink:  Uplink{State: UplinkOnline, Endpoint: "wss://cloud.example.com/v1/gateway"},
				Devices: []Device{{ID: "boiler", Driver: "lm75", Bus: "sim-1", State: DeviceOK, Channels: []Channel{
					{Quantity: "temperature", Unit: "Cel"}, {Quantity: "humidity", Unit: "%RH"},
				}}},
			}
		},
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log
}

// start runs a server until the test ends and gives its "host:port".
func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	s := New(o)
	serve(t, s)
	return s, s.Addr()
}

// serve runs s until the test ends or the returned function is called.
func serve(t *testing.T, s *Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// publish gives the hub one reading of the boiler.
func publish(h *live.Hub, seq uint64, value float64) {
	h.Publish(gateway.Name{Epoch: gateway.EpochID{0x9f}, Seq: seq}, []gateway.Reading{{Channel: boiler, Value: value, At: testStamp}})
}

// request sends a GET, with headers as pairs; "Host" sets the host.
func request(t *testing.T, url string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, resp.Header, "" // what follows does not end
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// code is the error code in a JSON body; "" if there is none.
func code(body string) string {
	var f fault
	_ = json.Unmarshal([]byte(body), &f) // not JSON: no code
	return f.Code
}

// dial opens a WebSocket.
func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// next reads messages until one of the given type comes, and decodes it.
func next(t *testing.T, conn *websocket.Conn, kind string) map[string]any {
	t.Helper()
	for {
		m := read(t, conn)
		if m["type"] == kind {
			return m
		}
	}
}

func read(t *testing.T, conn *websocket.Conn) map[string]any {
	t.Helper()
	_, b, err := conn.ReadMessage()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s is not a JSON object: %v", b, err)
	}
	return m
}

// A pipeListener hands out in-memory connections, for tests in virtual time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// dial connects a WebSocket client through memory.
func (l *pipeListener) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		l.conns <- there
		return here, nil
	}}
	conn, _, err := d.Dial("ws://localhost/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
