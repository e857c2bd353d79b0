package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ackedBy reads acks until one covers upto, or until the connection ends.
func ackedBy(conn *websocket.Conn, upto uint64) (uint64, error) {
	acked := uint64(0)
	for acked < upto {
		m, err := hear(conn)
		if err != nil {
			return acked, err
		}
		if a, ok := m.(*wire.Ack); ok && len(a.Epochs) > 0 {
			acked = a.Epochs[0].Upto
		}
	}
	return acked, nil
}

// TestTwoServersOnOneCluster moves a gateway between two servers of three real
// nats-servers. The one that it leaves is stopped in the middle of what it has
// under way, and goes on when the other has taken over: nothing of it counts
// any more, nothing is there twice.
func TestTwoServersOnOneCluster(t *testing.T) {
	t.Parallel()
	_, urls := natstest.Cluster(t, 3)
	states := [2]string{t.TempDir(), t.TempDir()}
	token := add(t, states[0], "g", "--nats", urls)
	var servers [2]*process
	for i := range servers {
		servers[i] = start(t, states[i], "--nats", urls)
	}
	e := gateway.NewEpochID()
	conn, w := servers[0].open(token, "g", e)
	if w.Level != wire.LevelReplicated {
		t.Errorf("level %s", w.Level)
	}
	acked := uint64(0)
	for round := range 4 {
		here, there := servers[round%2], servers[(round+1)%2]
		next := w.Epochs[0].Upto + 1
		for range 6 {
			say(t, conn, five(t, e, next))
			next += 5
		}
		var err error
		if acked, err = ackedBy(conn, w.Epochs[0].Upto+30); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for range 6 {
			say(t, conn, five(t, e, next))
			next += 5
		}
		if err := here.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		old := conn
		conn, w = there.open(token, "g", e)
		if w.Epochs[0].Upto < acked {
			t.Fatalf("round %d: the cloud has %d, %d were acknowledged", round, w.Epochs[0].Upto, acked)
		}
		upto := w.Epochs[0].Upto
		say(t, conn, five(t, e, upto+1))
		if err := here.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		say(t, old, five(t, e, next)) // it still listens, but may not store
		late, err := ackedBy(old, next+100)
		if !websocket.IsCloseError(err, wire.CloseSuperseded) {
			t.Errorf("round %d: the older session got %v", round, err)
		}
		if late > upto {
			t.Errorf("round %d: the older session acknowledged %d, the newer began with %d", round, late, upto)
		}
		if _, err := ackedBy(conn, upto+5); err != nil {
			t.Fatal(err)
		}
		w.Epochs[0].Upto = upto + 5
	}
	for _, p := range servers {
		p.wantSeqs(w.Epochs[0].Upto)
	}
	_ = conn.Close()
	for _, p := range servers {
		if code := p.end(syscall.SIGTERM); code != 0 {
			t.Errorf("ended with %d: %s", code, p.lines)
		}
	}
}

// TestCopyLog takes the log along from one machine to a cluster: stop, copy,
// start elsewhere. The gateway goes on where it was.
func TestCopyLog(t *testing.T) {
	t.Parallel()
	_, urls := natstest.Cluster(t, 3)
	state := t.TempDir()
	token := add(t, state, "g")
	e := gateway.NewEpochID()
	p := start(t, state)
	if code, _, errs := do(t, "copy-log", "--state", state, "--nats", urls); code != 1 || !strings.Contains(errs, "in use") {
		t.Errorf("while the server runs: exit %d, %s", code, errs)
	}
	conn, _ := p.open(token, "g", e)
	for first := uint64(1); first < 50; first += 5 {
		say(t, conn, five(t, e, first))
	}
	if _, err := ackedBy(conn, 50); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("ended with %d: %s", code, p.lines)
	}
	code, out, errs := do(t, "copy-log", "--state", state, "--nats", urls)
	if code != 0 || !strings.Contains(out, "copied and compared 11 records") {
		t.Fatalf("exit %d, %s, %s", code, out, errs)
	}
	if code, _, errs := do(t, "copy-log", "--state", state, "--nats", urls); code != 1 || !strings.Contains(errs, "there already") {
		t.Errorf("once more: exit %d, %s", code, errs)
	}
	p = start(t, state, "--nats", urls)
	conn, w := p.open(token, "g", e)
	if w.Epochs[0].Upto != 50 || w.Level != wire.LevelReplicated {
		t.Errorf("welcome %+v", w)
	}
	say(t, conn, five(t, e, 51))
	if _, err := ackedBy(conn, 55); err != nil {
		t.Error(err)
	}
	p.wantSeqs(55)
	_ = conn.Close()
	p.end(syscall.SIGTERM)
}

// TestClusterLosesTheLeader takes the server away that leads the log: the
// session ends, for nothing is known of what was under way, and the next one
// goes on where the log is.
func TestClusterLosesTheLeader(t *testing.T) {
	t.Parallel()
	nodes, urls := natstest.Cluster(t, 3)
	state := t.TempDir()
	token := add(t, state, "g", "--nats", urls)
	p := start(t, state, "--nats", urls)
	e := gateway.NewEpochID()
	conn, _ := p.open(token, "g", e)
	say(t, conn, five(t, e, 1))
	if _, err := ackedBy(conn, 5); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if acc, err := n.LookupAccount("$G"); err == nil && n.JetStreamIsStreamLeader(acc.Name, "FG_RAW") {
			n.Shutdown()
			n.WaitForShutdown()
			break // the next may lead by now, and one alone of three decides nothing
		}
	}
	err := hearEnd(conn)
	if !websocket.IsCloseError(err, websocket.CloseServiceRestart, websocket.CloseTryAgainLater) {
		t.Errorf("the gateway got %v", err)
	}
	w := p.again(token, e)
	if w.Epochs[0].Upto != 5 {
		t.Errorf("the cloud has %d", w.Epochs[0].Upto)
	}
	p.wantSeqs(5)
	p.end(syscall.SIGTERM)
}

// again connects until the server opens a session, as gateways do.
func (p *process) again(token string, e gateway.EpochID) *wire.Welcome {
	p.t.Helper()
	d := websocket.Dialer{TLSClientConfig: p.trust(), Subprotocols: []string{wire.SubprotocolCBOR}, HandshakeTimeout: answerWithin}
	for start := time.Now(); time.Since(start) < answerWithin; {
		conn, _, err := d.DialContext(p.t.Context(), "wss://"+p.addr+"/v1/gateway", http.Header{"Authorization": {"Bearer " + token}})
		if err != nil {
			continue
		}
		say(p.t, conn, &wire.Hello{GatewayID: "g", All: true, Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}}})
		m, _ := hear(conn)
		_ = conn.Close()
		if w, ok := m.(*wire.Welcome); ok {
			return w
		}
	}
	p.t.Fatalf("no session: %s", p.lines)
	return nil
}
