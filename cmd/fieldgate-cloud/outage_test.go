package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A troubled is a running fieldgate-cloud with its log on one real nats-server,
// and a gateway that sends to it.
type troubled struct {
	t     *testing.T
	p     *process
	nats  *natstest.Process
	token string
	epoch gateway.EpochID
	conn  *websocket.Conn
	acked uint64
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	nodes, url := natstest.Processes(t, 1)
	nodes[0].Await()
	state := t.TempDir()
	x := &troubled{t: t, nats: nodes[0], epoch: gateway.NewEpochID()}
	x.token = add(t, state, "g", "--nats", url, "--nats-replicas", "1")
	x.p = start(t, state, "--nats", url)
	x.conn, _ = x.p.open(x.token, "g", x.epoch)
	x.deliver()
	return x
}

// send sends the next five readings.
func (x *troubled) send() { say(x.t, x.conn, five(x.t, x.epoch, x.acked+1)) }

// deliver sends the next five readings until they are acknowledged, on a new
// line if need be.
func (x *troubled) deliver() {
	x.t.Helper()
	x.send()
	upto, err := ackedBy(x.conn, x.acked+5)
	if err != nil {
		x.t.Fatal(err)
	}
	x.acked = upto
}

// reopen connects until it is welcomed, and goes on where the cloud is.
func (x *troubled) reopen() {
	x.t.Helper()
	w := x.p.again(x.token, x.epoch)
	if w.Epochs[0].Upto < x.acked {
		x.t.Errorf("the cloud has %d, %d were acknowledged", w.Epochs[0].Upto, x.acked)
	}
	x.conn, w = x.p.open(x.token, "g", x.epoch)
	x.acked = w.Epochs[0].Upto
	x.deliver()
}

// told reads until windows are changed, or the session ends.
func (x *troubled) told() (*wire.Ack, error) {
	for {
		m, err := hear(x.conn)
		if err != nil {
			return nil, err
		}
		if a, ok := m.(*wire.Ack); ok && a.Win != nil {
			return a, nil
		}
	}
}

// toldBefore reads until everything up to a reading is acknowledged, and gives
// what changed windows meanwhile.
func (x *troubled) toldBefore(upto uint64) (told *wire.Ack) {
	x.t.Helper()
	for x.acked < upto {
		m, err := hear(x.conn)
		a, ok := m.(*wire.Ack)
		if !ok {
			x.t.Fatalf("got %+v, %v", m, err)
		}
		if a.Win != nil {
			told = a
		}
		if len(a.Epochs) > 0 {
			x.acked = a.Epochs[0].Upto
		}
	}
	return told
}

func (x *troubled) wantReady(want int) {
	x.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	status := 0
	for start := time.Now(); time.Since(start) < answerWithin; <-tick.C {
		if status = x.p.get("/readyz", nil).StatusCode; status == want {
			return
		}
	}
	x.t.Errorf("/readyz answers %d, want %d", status, want)
}

// figure gives a figure of /metrics, 0 if it is not there.
func (x *troubled) figure(name string) float64 {
	x.t.Helper()
	operator, err := os.ReadFile(filepath.Join(x.p.state, "operator.token"))
	if err != nil {
		x.t.Fatal(err)
	}
	body, err := io.ReadAll(x.p.get("/metrics", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(operator))}}).Body)
	if err != nil {
		x.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^fieldgate_cloud_` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		x.t.Fatal(err)
	}
	return v
}

// end stops the server, after counting what it has, and wants texts in its log.
func (x *troubled) end(says ...string) {
	x.t.Helper()
	x.p.wantSeqs(x.acked)
	_ = x.conn.Close()
	if code := x.p.end(syscall.SIGTERM); code != 0 {
		x.t.Errorf("ended with %d: %s", code, x.p.lines)
	}
	x.wantLog(says...)
}

func (x *troubled) wantLog(says ...string) {
	x.t.Helper()
	for _, want := range says {
		if n := strings.Count(strings.Join(x.p.lines, "\n"), want); n != 1 {
			x.t.Errorf("the log says %d times %q, want once:\n%s", n, want, strings.Join(x.p.lines, "\n"))
		}
	}
}

// TestNATSIsSlow: a log that takes more than a second for a record makes the
// backlog's window one message, and wide again when it is quick.
func TestNATSIsSlow(t *testing.T) {
	x := newTroubled(t)
	var a *wire.Ack
	for try := 1; a == nil && try < 4; try++ {
		x.nats.Signal(syscall.SIGSTOP)
		x.send()
		<-time.After(time.Duration(try)*time.Second + 500*time.Millisecond) // a busy machine may append late
		x.nats.Signal(syscall.SIGCONT)
		a = x.toldBefore(x.acked + 5)
	}
	if a == nil || a.Win.Back.Msgs != 1 || a.Win.Live != wire.DefaultWindows.Live || a.Why != "storage" {
		t.Fatalf("told of it with %+v", a)
	}
	for range 2 {
		x.deliver()
	}
	x.send()
	if a = x.toldBefore(x.acked + 5); a == nil || *a.Win != wire.DefaultWindows {
		t.Errorf("told of its end with %+v", a)
	}
	x.wantReady(200)
	x.end("the log is slow")
}

// TestNATSDoesNotAnswer stops nats-server with a record under way, for longer
// than the server waits. What it had received it stores when it goes on, after
// its session is dead: whether that counts, only reading tells.
func TestNATSDoesNotAnswer(t *testing.T) {
	t.Parallel()
	x := newTroubled(t)
	x.nats.Signal(syscall.SIGSTOP)
	x.send()
	x.wantReady(503)
	if a, err := x.told(); err == nil && (*a.Win != (wire.Windows{}) || a.Why != "storage") ||
		err != nil && !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
		t.Errorf("told of it with %+v, %v", a, err)
	}
	if err := hearEnd(x.conn); err == nil {
		t.Error("a session outlives the connection to its log")
	}
	if x.figure(`pub_errors_total{err_code="unavailable"}`) == 0 {
		t.Error("the metrics know nothing of it")
	}
	x.nats.Signal(syscall.SIGCONT)
	x.reopen()
	x.wantReady(200)
	x.deliver()
	x.end("the connection to nats-server broke; connecting again", "connected to nats-server again",
		"the connection to the log was interrupted", "the log does not take records", "the log takes records again")
}

// TestNATSIsKilled takes nats-server away with records under way, and brings it
// back.
func TestNATSIsKilled(t *testing.T) {
	t.Parallel()
	x := newTroubled(t)
	for i := range uint64(6) {
		say(t, x.conn, five(t, x.epoch, x.acked+1+5*i))
	}
	x.nats.Kill()
	upto, err := ackedBy(x.conn, x.acked+100)
	if !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
		t.Errorf("the gateway got %v", err)
	}
	x.acked = max(x.acked, upto)
	x.wantReady(503)
	x.nats.Start()
	x.reopen()
	x.wantReady(200)
	x.end("the connection to nats-server broke; connecting again", "connected to nats-server again",
		"the connection to the log was interrupted", "the log does not take records", "the log takes records again")
}

// TestNATSIsFull: an operator's limit on the stream closes the windows at once,
// and raising it opens them, in the same session.
func TestNATSIsFull(t *testing.T) {
	t.Parallel()
	x := newTroubled(t)
	limit := func(n int64) { x.operate(func(js jetstream.JetStream) error { return limitTo(t.Context(), js, n) }) }
	limit(4 << 10)
	var a *wire.Ack
	var err error
	for a == nil && x.acked < 500 { // until it is full
		x.send()
		m, herr := hear(x.conn)
		got, ok := m.(*wire.Ack)
		switch {
		case !ok:
			t.Fatalf("got %+v, %v", m, herr)
		case got.Win != nil:
			a = got
		default:
			x.acked = got.Epochs[0].Upto
		}
	}
	if a == nil || *a.Win != (wire.Windows{}) || a.Why != "storage" {
		t.Fatalf("told of it with %+v", a)
	}
	x.wantReady(503)
	if paused, full := x.figure("window_paused_sessions"), x.figure(`pub_errors_total{err_code="full"}`); paused != 1 || full == 0 {
		t.Errorf("the metrics say %v and %v", paused, full)
	}
	limit(-1)
	if a, err = x.told(); err != nil || *a.Win != wire.DefaultWindows {
		t.Errorf("told of its end with %+v, %v", a, err)
	}
	if x.acked, err = ackedBy(x.conn, x.acked+5); err != nil {
		t.Error(err)
	}
	x.wantReady(200)
	x.end("the log does not take records", "the log takes records again")
}

// operate does what somebody does who runs the cluster.
func (x *troubled) operate(do func(jetstream.JetStream) error) {
	x.t.Helper()
	c, err := nats.Connect(x.nats.URL())
	if err != nil {
		x.t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err == nil {
		err = do(js)
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

func limitTo(ctx context.Context, js jetstream.JetStream, n int64) error {
	s, err := js.Stream(ctx, "FG_RAW")
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = n
	_, err = js.UpdateStream(ctx, cfg)
	return err
}

// TestStreamIsDeleted: somebody deletes the log at the cluster. Nothing is
// acknowledged any more, the server says what happened and ends, and started
// again it takes everything that the gateway still has.
func TestStreamIsDeleted(t *testing.T) {
	t.Parallel()
	x := newTroubled(t)
	x.deliver()
	x.operate(func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), "FG_RAW") })
	x.send()
	if a, err := x.told(); err != nil || *a.Win != (wire.Windows{}) || a.Why != "storage" || len(a.Epochs) > 0 {
		t.Errorf("told of it with %+v, %v", a, err)
	}
	x.wantReady(503)
	if err := hearEnd(x.conn); !websocket.IsCloseError(err, websocket.CloseTryAgainLater, websocket.CloseServiceRestart) {
		t.Errorf("the gateway got %v", err)
	}
	<-x.p.ended
	_ = x.p.cmd.Wait()
	if code := x.p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("ended with %d", code)
	}
	x.wantLog("the log must be opened anew: stream FG_RAW is gone")
	x.p = start(t, x.p.state, "--nats", x.nats.URL(), "--nats-replicas", "1")
	var w *wire.Welcome
	if x.conn, w = x.p.open(x.token, "g", x.epoch); w.Epochs[0].Upto != 0 {
		t.Errorf("welcomed with %+v", w.Epochs)
	}
	x.acked = 0
	for range 3 {
		x.deliver()
	}
	x.end()
}
