package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// asProgram makes the test binary behave as fieldgate-cloud.
const asProgram = "FIELDGATE_CLOUD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	natstest.Main()
	if os.Getenv("GORACE") == "" { // the race detector waits a second at the end of every program that a test starts
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50") // without it the tests take longer
	}
	os.Exit(m.Run())
}

// do runs a command to its end.
func do(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = commandLine().Run(t.Context(), args, cli.Console{Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func add(t *testing.T, state, id string, more ...string) (token string) {
	t.Helper()
	code, out, errs := do(t, append([]string{"gateway", "add", id, "--state", state}, more...)...)
	if code != 0 {
		t.Fatal(errs)
	}
	return strings.TrimSpace(out)
}

func (p *process) trust() *tls.Config {
	p.t.Helper()
	pem, err := os.ReadFile(filepath.Join(p.state, "ca.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool}
}

func (p *process) get(path string, header http.Header) *http.Response {
	p.t.Helper()
	tr := &http.Transport{TLSClientConfig: p.trust()}
	p.t.Cleanup(tr.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(p.t.Context(), answerWithin) // of the body too
	p.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+p.addr+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// open connects as the gateway of token and says hello.
func (p *process) open(token, id string, e gateway.EpochID) (*websocket.Conn, *wire.Welcome) {
	p.t.Helper()
	return p.openWith(token, &wire.Hello{GatewayID: id, All: true, Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1}}})
}

func (p *process) openWith(token string, hello *wire.Hello) (*websocket.Conn, *wire.Welcome) {
	p.t.Helper()
	d := websocket.Dialer{TLSClientConfig: p.trust(), Subprotocols: []string{wire.SubprotocolCBOR}, HandshakeTimeout: answerWithin}
	conn, resp, err := d.DialContext(p.t.Context(), "wss://"+p.addr+"/v1/gateway", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		p.t.Fatalf("%v, %v", err, resp)
	}
	p.t.Cleanup(func() { conn.Close() })
	say(p.t, conn, hello)
	m, err := hear(conn)
	w, ok := m.(*wire.Welcome)
	if !ok {
		p.t.Fatalf("got %+v, %v; want welcome", m, err)
	}
	return conn, w
}

func say(t testing.TB, conn *websocket.Conn, m wire.Message) {
	t.Helper()
	b, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.WriteMessage(websocket.BinaryMessage, b) // a dead server shows when reading
}

func hear(conn *websocket.Conn) (wire.Message, error) {
	_ = conn.SetReadDeadline(time.Now().Add(answerWithin))
	_, b, err := conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	return wire.Decode(b)
}

// hearEnd gives how a connection ends, whatever comes before.
func hearEnd(conn *websocket.Conn) error {
	for {
		if _, err := hear(conn); err != nil {
			return err
		}
	}
}

// five gives an update of the readings first … first+4, which have their seq
// as value.
func five(t testing.TB, e gateway.EpochID, first uint64) *wire.Update {
	t.Helper()
	ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
	var rs []gateway.Reading
	for i := range uint64(5) {
		rs = append(rs, gateway.Reading{Channel: ch, Value: float64(first + i), At: gateway.Stamp(first + i)})
	}
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}}, rs)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: 5, Blocks: [][]byte{b}}
}

func TestServerStartsServesAndStops(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	token := add(t, state, "plant-7")
	p := start(t, state, "--name", "cloud.example.com", "--name", "10.0.2.2")
	e := gateway.NewEpochID()
	conn, _ := p.open(token, "plant-7", e)
	say(t, conn, five(t, e, 1))
	if m, err := hear(conn); err != nil || m.(*wire.Ack).Epochs[0].Upto != 5 {
		t.Fatalf("got %+v, %v", m, err)
	}
	second, _ := p.open(add(t, state, "plant-8"), "plant-8", e) // added while it runs
	if code, _, errs := do(t, "gateway", "remove", "plant-8", "--state", state); code != 0 {
		t.Fatal(errs)
	}
	if _, err := hear(second); !websocket.IsCloseError(err, wire.CloseForbidden) {
		t.Errorf("the removed gateway got %v", err)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("ended with %d: %s", code, p.lines)
	}
	if err := hearEnd(conn); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("at the end the gateway got %v", err)
	}
	log := strings.Join(p.lines, "\n")
	for _, want := range []string{"listening on " + p.addr, state + "/ca.pem", state + "/operator.token", "msg=stopped"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
	if secret := token[len(token)-64:]; strings.Contains(log, secret) {
		t.Error("the secret is in the log")
	}
}

func TestLargeHeader(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	p := start(t, state)
	if resp := p.get("/healthz", http.Header{"X-Large": {strings.Repeat("x", 16<<10)}}); resp.StatusCode != 431 {
		t.Errorf("answered %s", resp.Status)
	}
	if resp := p.get("/readyz", nil); resp.StatusCode != 200 {
		t.Errorf("answered %s", resp.Status)
	}
	p.end(syscall.SIGTERM)
}

// TestKilledServer kills the server again and again while a gateway sends, and
// then counts.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "g")
	e := gateway.NewEpochID()
	acked := uint64(0)
	for round := range 6 {
		p := start(t, state)
		conn, w := p.open(token, "g", e)
		if w.Epochs[0].Upto < acked {
			t.Fatalf("round %d: the cloud has %d, %d were acknowledged", round, w.Epochs[0].Upto, acked)
		}
		// Two updates are under way at any time, so that the kill hits some.
		next := w.Epochs[0].Upto + 1
		say(t, conn, five(t, e, next))
		for n := 0; ; n++ {
			next += 5
			say(t, conn, five(t, e, next))
			if n == 10+7*round {
				p.end(syscall.SIGKILL)
			}
			m, err := hear(conn)
			if err != nil {
				break
			}
			acked = m.(*wire.Ack).Epochs[0].Upto
		}
		conn.Close()
	}
	p := start(t, state)
	_, w := p.open(token, "g", e)
	if w.Epochs[0].Upto < acked || acked == 0 {
		t.Errorf("the cloud has %d, %d were acknowledged", w.Epochs[0].Upto, acked)
	}
	p.wantSeqs(w.Epochs[0].Upto)
	p.end(syscall.SIGTERM)
}

func (p *process) wantSeqs(upto uint64) {
	p.t.Helper()
	operator, err := os.ReadFile(filepath.Join(p.state, "operator.token"))
	if err != nil {
		p.t.Fatal(err)
	}
	resp := p.get("/v1/gateways/g/readings", http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(operator))}})
	n := uint64(0)
	sc := bufio.NewScanner(resp.Body)
	for sc.Scan() {
		n++
		var r struct {
			Seq   uint64
			Value float64
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil || r.Seq != n || r.Value != float64(n) {
			p.t.Fatalf("line %d is %s (%v)", n, sc.Bytes(), err)
		}
	}
	if sc.Err() != nil || n != upto {
		p.t.Errorf("%d readings, want %d (%v)", n, upto, sc.Err())
	}
}

func TestExitCodesOfCommands(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "here")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "--help"},
		{"run", 2, "--listen"},
		{"run --listen :0 --state s --cert c", 2, "--key"},
		{"run --listen 127.0.0.1:0 --postgres @none --state " + state, 1, "--postgres"},
		{"run --listen :0 --state s --cert c --key k --name n", 2, "--name"},
		{"nonsense", 2, "nonsense"},
		{"gateway add a.b --state " + state, 2, "a.b"},
		{"gateway add here --state " + state, 1, "exists"},
		{"gateway remove none --state " + state, 1, "none"},
		{"gateway list --state " + state, 0, "here"},
		{"token add a.b --state " + state, 2, "a.b"},
		{"token add here --ttl 1s --state " + state, 2, "--ttl"},
		{"token add here --state " + state, 0, "fge1_here_"},
		{"token add typo --state " + state, 1, "there is no gateway typo"},
		{"token add newcomer --new --state " + state, 0, "fge1_newcomer_"},
		{"gateway list --state " + state + "/typo", 1, "--state"},
		{"gateway list --json --state " + state + "/typo", 1, "--state"},
		{"gateway remove here --state " + state + "/typo", 1, "--state"},
		{"token add here --state " + state + "/typo", 1, "--state"},
		{"token add here --new --state " + state + "/typo", 1, "--state"},
		{"copy-log --credentials-only --nats nats://127.0.0.1:1 --state " + state + "/typo", 1, "--state"},
		{"copy-log --nats nats://127.0.0.1:1 --state " + state + "/typo", 1, "--state"},
		{"consumer list --state " + state + "/typo", 1, "no server has run"},
		{"send here boiler set 1 --state " + state + "/typo", 1, "no server has run"},
		{"run --listen :0 --origin * --state " + state, 2, "--origin"},
		{"run --listen :0 --origin https://ops.example.com/page --state " + state, 2, "--origin"},
		{"gateway list --json --state " + state, 0, `[{"gateway_id":"here",`},
		{"version", 0, "fieldgate-cloud"},
		{"--help", 0, "gateway"},
		{"run --listen " + taken.Addr().String() + " --state " + state, 1, taken.Addr().String() + " is in use"},
		{"run --listen 192.0.2.1:1 --state " + state, 1, "--listen"},
		{"copy-log --state " + state, 2, "--nats"},
		{"consumer list", 2, "--state"},
		{"consumer list --state " + state, 1, "no server has run"},
		{"run --listen 127.0.0.1:0 --keep 5m --state " + state, 2, "at least 1h"},
		{"run --listen 127.0.0.1:0 --nats-creds c --state " + state, 2, "--nats"},
		{"run --listen 127.0.0.1:0 --nats nats://127.0.0.1:1 --nats-replicas 9 --state " + state, 2, "1 to 5"},
		{"run --listen 127.0.0.1:0 --nats nats://127.0.0.1:1 --state " + state, 1, "open log in NATS: connect"},
		{"run --listen 127.0.0.1:0 --cert none --key none --state " + state, 1, "--cert"},
	} {
		code, out, errs := do(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
		if strings.Contains(out+errs, token) {
			t.Errorf("%q shows the token again", c.args)
		}
	}
}

func TestSecondServer(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	p := start(t, state)
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	var errs bytes.Buffer
	if code := commandLine().Run(ctx, []string{"run", "--listen", "127.0.0.1:0", "--state", state},
		cli.Console{Out: &errs, Err: &errs}); code != 1 || !strings.Contains(errs.String(), "in use") {
		t.Errorf("a second server on the same state: exit %d, %s", code, &errs)
	}
	p.end(syscall.SIGTERM)
}

// TestDiskThatFails lets the log's files grow to 256 KiB and no further: to
// the server that is a write error, after which it must start anew.
func TestDiskThatFails(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "g")
	e := gateway.NewEpochID()
	p := start(t, state)
	p.end(syscall.SIGTERM)
	p = launch(t, state, exec.Command("sh", "-c", `ulimit -f 512 && exec "$0" "$@"`, os.Args[0]))
	conn, _ := p.open(token, "g", e)
	acked := uint64(0)
	told := false
	for next := uint64(1); !told; next += 5 {
		say(t, conn, five(t, e, next))
		m, err := hear(conn)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.Ack:
			if len(m.Epochs) > 0 {
				acked = m.Epochs[0].Upto
			}
			told = m.Why == "storage"
		}
	}
	if err := hearEnd(conn); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("the gateway got %v", err)
	}
	<-p.ended
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(strings.Join(p.lines, "\n"), "must be opened anew") {
		t.Errorf("ended with %d: %s", code, p.lines)
	}
	p = start(t, state)
	_, w := p.open(token, "g", e)
	if w.Epochs[0].Upto < acked || acked == 0 {
		t.Errorf("the cloud has %d, %d were acknowledged", w.Epochs[0].Upto, acked)
	}
	p.wantSeqs(w.Epochs[0].Upto)
	p.end(syscall.SIGTERM)
}
