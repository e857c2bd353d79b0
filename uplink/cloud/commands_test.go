package cloud_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A commandView is a command as the API shows it, or an error.
type commandView struct {
	ID     string
	State  gateway.CommandState
	Seq    uint64
	Result *float64
	Error  string
	Sent   int
	Code   string
}

// ask does one request to a server's API.
func ask(s *site, hs *httptest.Server, method, path, body string) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, hs.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := hs.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, text
}

func commandIn(t testing.TB, text []byte) (c commandView) {
	t.Helper()
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// post posts a command to the gateway at hand.
func (s *site) post(query, body string) (int, commandView) {
	s.t.Helper()
	status, text := ask(s, s.http, "POST", "/v1/gateways/"+s.id+"/commands"+query, body)
	return status, commandIn(s.t, text)
}

// command asks how far one is; the wait is over as soon as it is final.
func (s *site) command(id string) commandView {
	s.t.Helper()
	status, text := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/commands/"+id+"?wait=20s", "")
	if status != http.StatusOK {
		s.t.Fatalf("command %s: %d %s", id, status, text)
	}
	return commandIn(s.t, text)
}

func (s *site) pending() (ids string) {
	s.t.Helper()
	_, text := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/commands", "")
	var all struct{ Commands []commandView }
	if err := json.Unmarshal(text, &all); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range all.Commands {
		ids += c.ID + ":" + string(c.State) + " "
	}
	return ids
}

// openFor opens a session that takes commands.
func (s *site) openFor(hs *httptest.Server) *peer {
	s.t.Helper()
	there := *s
	there.http = hs
	p := there.dial()
	p.send(&wire.Hello{GatewayID: s.id, All: true, Software: "test", Caps: []string{"commands"}})
	recv[*wire.Welcome](p)
	return p
}

func (p *peer) answers(id string, state gateway.CommandState) {
	p.t.Helper()
	one := 1.0
	p.send(&wire.Result{ID: id, State: state, Value: &one})
}

const setPump = `{"id":"%s","device_id":"pump","action":"set","value":1%s}`

// ready waits until a session listens for commands: until then one that is
// posted would wait in the queue.
func (s *site) ready(p *peer) {
	s.t.Helper()
	for n := 0; ; n++ {
		id := fmt.Sprintf("probe-%d", n)
		status, c := s.post("", fmt.Sprintf(setPump, id, `,"queue":false`))
		if status == http.StatusConflict {
			continue
		}
		if got := recv[*wire.Command](p); got.ID != id || c.State != "sent" {
			s.t.Fatalf("got %+v; posted %+v", got, c)
		}
		p.answers(id, gateway.CommandDone)
		s.command(id)
		return
	}
}

// A command reaches a gateway that is connected, and how far it comes is told
// whoever waits.
func TestCommandToAConnectedGateway(t *testing.T) {
	s := newSite(t, nil)
	p := s.openFor(s.http)
	s.ready(p)
	posted := make(chan commandView)
	go func() {
		_, c := s.post("?wait=20s", fmt.Sprintf(setPump, "c-1", `,"ttl_ms":5000,"lease_ms":9000,"args":{"ramp":3}`))
		posted <- c
	}()
	m := recv[*wire.Command](p)
	if m.ID != "c-1" || m.Device != "pump" || m.Action != "set" || *m.Value != 1 || m.LeaseMS != 9000 ||
		string(m.Args) != `{"ramp":3}` || m.Again || m.Seq == 0 {
		t.Errorf("got %+v", m)
	}
	if left := time.Until(time.UnixMicro(int64(m.Expires))); m.TTLMS < 1 || m.TTLMS > 5000 || left > 5*time.Second {
		t.Errorf("ttl_ms %d, expires in %v", m.TTLMS, left)
	}
	for _, state := range []gateway.CommandState{
		gateway.CommandAccepted, gateway.CommandRunning, gateway.CommandAccepted, gateway.CommandDone, gateway.CommandUnknown,
	} {
		p.answers("c-1", state)
	}
	if c := <-posted; c.State != gateway.CommandDone || *c.Result != 1 {
		t.Errorf("the post ends with %+v", c)
	}
	p.answers("nobody-knows", gateway.CommandDone)
	if c := s.command("c-1"); c.State != gateway.CommandDone || c.Sent != 1 {
		t.Errorf("the first final state must stay: %+v", c)
	}
	if got := s.pending(); got != "" {
		t.Errorf("pending are %s", got)
	}
}

// Commands for a gateway that is away are sent in order of seq when it comes;
// those past their expiry are not. The event of a result is enough.
func TestCommandsWaitForTheGateway(t *testing.T) {
	s := newSite(t, nil)
	if status, c := s.post("", fmt.Sprintf(setPump, "late", `,"ttl_ms":1`)); status != http.StatusAccepted &&
		c.State != gateway.CommandExpired {
		t.Errorf("status %d, %+v", status, c)
	}
	var seqs []uint64
	for i := range 5 {
		status, c := s.post("", fmt.Sprintf(setPump, fmt.Sprintf("c-%d", 4-i), "")) // not in the order of their names
		if status != http.StatusAccepted || c.State != "queued" {
			t.Fatalf("status %d, %+v", status, c)
		}
		seqs = append(seqs, c.Seq)
	}
	if got, want := s.pending(), "c-4:queued c-3:queued c-2:queued c-1:queued c-0:queued "; got != want {
		t.Errorf("pending are %s", got)
	}
	p := s.openFor(s.http)
	for i := range 5 {
		if m := recv[*wire.Command](p); m.ID != fmt.Sprintf("c-%d", 4-i) || m.Seq != seqs[i] {
			t.Fatalf("command %d is %+v", i, m)
		}
	}
	if c := s.command("late"); c.State != gateway.CommandExpired || c.Sent != 0 {
		t.Errorf("late is %+v", c)
	}
	body, err := json.Marshal(gateway.CommandResult{ID: "c-3", State: gateway.CommandFailed, Error: "it is stuck", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ev := &wire.Event{Epoch: gateway.NewEpochID(), Seq: 1, Kind: gateway.EventResult, Device: "pump", Body: body, Anchor: wireAnchor}
	p.send(ev)
	p.send(ev)
	if c := s.command("c-3"); c.State != gateway.CommandFailed || c.Error != "it is stuck" {
		t.Errorf("c-3 is %+v", c)
	}
}

// The answer is lost with the connection: a command is sent again and says so,
// one that may be sent once only is asked for, and what the gateway answers
// counts. That holds over a restart of the server too.
func TestCommandsOverALostConnection(t *testing.T) {
	for _, restart := range []bool{false, true} {
		s := newSite(t, nil)
		for _, c := range []string{
			fmt.Sprintf(setPump, "again", ""), fmt.Sprintf(setPump, "once", `,"once":true`), fmt.Sprintf(setPump, "ran", ""),
		} {
			s.post("", c)
		}
		p := s.openFor(s.http)
		for range 3 {
			recv[*wire.Command](p)
		}
		p.answers("ran", gateway.CommandRunning)
		for began := time.Now(); s.state("ran") != gateway.CommandRunning; {
			if time.Since(began) > answerWithin {
				t.Fatal("the result is not noted")
			}
		}
		p.conn.Close()
		if restart {
			s.stop()
			s.start(nil)
		}
		p = s.openFor(s.http)
		if m := recv[*wire.Command](p); m.ID != "again" || !m.Again || m.TTLMS <= 0 {
			t.Errorf("got %+v", m)
		}
		for _, id := range []string{"once", "ran"} {
			if m := recv[*wire.Command](p); m.ID != id || !m.Again || m.TTLMS != 0 {
				t.Errorf("got %+v, want a question for %s", m, id)
			}
		}
		p.answers("again", gateway.CommandDone)
		p.answers("once", gateway.CommandUnknown)
		p.answers("ran", gateway.CommandDone)
		for id, want := range map[string]gateway.CommandState{
			"again": gateway.CommandDone, "once": gateway.CommandUnknown, "ran": gateway.CommandDone,
		} {
			if c := s.command(id); c.State != want || c.Sent > 2 || id != "again" && c.Sent != 1 {
				t.Errorf("%s is %+v", id, c)
			}
		}
	}
}

func (s *site) state(id string) gateway.CommandState {
	s.t.Helper()
	_, text := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/commands/"+id, "")
	return commandIn(s.t, text).State
}

// The same request under the same id is one command; another one under it is
// refused.
func TestSameIDIsOneCommand(t *testing.T) {
	s := newSite(t, nil)
	p := s.openFor(s.http)
	s.ready(p)
	for range 3 {
		if status, c := s.post("", fmt.Sprintf(setPump, "c-1", "")); status != http.StatusAccepted || c.State != "sent" || c.Sent != 1 {
			t.Errorf("status %d, %+v", status, c)
		}
	}
	if status, c := s.post("", fmt.Sprintf(setPump, "c-1", `,"once":true`)); status != http.StatusConflict || c.Code != "id_taken" {
		t.Errorf("status %d, %+v", status, c)
	}
	recv[*wire.Command](p)
	s.post("", fmt.Sprintf(setPump, "c-2", ""))
	if m := recv[*wire.Command](p); m.ID != "c-2" {
		t.Errorf("got %+v: c-1 was sent twice", m)
	}
	p.answers("c-1", gateway.CommandDone)
	s.command("c-1")
	if status, c := s.post("", fmt.Sprintf(setPump, "c-1", "")); status != http.StatusOK || c.State != gateway.CommandDone {
		t.Errorf("status %d, %+v", status, c)
	}
}

// Two servers of one cloud: a command that is posted to one reaches the
// gateway at the other, and the answer comes back. When the gateway moves
// while an answer is under way, the other server sends again.
func TestCommandsAcrossTwoServers(t *testing.T) {
	s := newSite(t, nil)
	other := cloud.New(cloud.Options{
		Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log,
		Credentials: s.creds, OperatorToken: operatorToken, Health: s.log.Health, Logger: quiet(t),
	})
	there := httptest.NewTLSServer(other)
	t.Cleanup(func() { other.Close(); there.Close() })
	p := s.openFor(there)
	s.ready(p)
	s.post("", fmt.Sprintf(setPump, "c-1", ""))
	if m := recv[*wire.Command](p); m.ID != "c-1" {
		t.Errorf("got %+v", m)
	}
	moved := s.openFor(s.http) // the session at the other server is not closed yet
	for first := true; ; first = false {
		m := recv[*wire.Command](moved)
		if m.ID != "c-1" || !m.Again {
			t.Fatalf("got %+v", m)
		}
		if !first {
			break // from the older session, as it closed
		}
		p.conn.Close()
	}
	moved.answers("c-1", gateway.CommandDone)
	if c := s.command("c-1"); c.State != gateway.CommandDone {
		t.Errorf("it is %+v", c)
	}
}

// What is not exactly a command is refused with a sentence and is not kept.
func TestBodiesThatAreNoCommand(t *testing.T) {
	s := newSite(t, nil)
	for body, says := range map[string]string{
		``:   "",
		`[]`: "",
		`{"id":"c","device_id":"pump","action":"set","vlaue":1}`:                                    "vlaue",
		`{"id":"c","device_id":"pump","action":"set","Value":1}`:                                    "Value",
		`{"id":"c","device_id":"pump","action":"set","value":0,"value":1}`:                          "twice",
		`{"id":"c","device_id":"pump","action":"set"} {}`:                                           "behind",
		`{"id":"c","device_id":"pump","action":"set","ttl_ms":0}`:                                   "ttl_ms",
		`{"id":"c","device_id":"pump","action":"set","ttl_ms":604800001}`:                           "7 days",
		`{"id":"c.d","device_id":"pump","action":"set"}`:                                            "id",
		`{"id":"c","device_id":"","action":"set"}`:                                                  "device_id",
		`{"id":"c","device_id":"pump","action":"set it"}`:                                           "action",
		`{"id":"c","device_id":"pump","action":"set","lease_ms":-1}`:                                "lease_ms",
		`{"id":"c","device_id":"pump","action":"set","value":"on"}`:                                 "value",
		`{"id":"c","device_id":"pump","action":"set","args":"` + strings.Repeat("x", 17<<10) + `"}`: "args",
		`{"id":"c","device_id":"pump","action":"set","args":{"a":1,"a":2}}`:                         "args",
		`{"id":"c","device_id":"pump","action":"set","args":[[[[[[[[1]]]]]]]]}`:                     "args",
		`{"id":"c","device_id":"pump","action":"set","lease_ms":9223372036855}`:                     "lease_ms",
		strings.Repeat(" ", 33<<10):                                                                 "bytes",
	} {
		status, text := ask(s, s.http, "POST", "/v1/gateways/"+s.id+"/commands", body)
		if status < 400 || status >= 500 || !bytes.Contains(text, []byte(says)) {
			t.Errorf("%.80s: %d %s", body, status, text)
		}
	}
	if status, _ := ask(s, s.http, "POST", "/v1/gateways/nobody/commands", fmt.Sprintf(setPump, "c", "")); status != http.StatusNotFound {
		t.Errorf("an unknown gateway: %d", status)
	}
	for _, wait := range []string{"x", "31s", "-1s"} {
		if status, _ := ask(s, s.http, "POST", "/v1/gateways/"+s.id+"/commands?wait="+wait,
			fmt.Sprintf(setPump, "c", "")); status != http.StatusBadRequest {
			t.Errorf("wait=%s: %d", wait, status)
		}
	}
	if got := s.pending(); got != "" {
		t.Errorf("kept: %s", got)
	}
	if resp := s.get("/v1/gateways/"+s.id+"/commands", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", resp.Status)
	}
}
