package cloud_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A deafKV takes nothing of commands and reports while it is deaf.
type deafKV struct {
	record.KV
	deaf atomic.Bool
}

func (s *deafKV) Put(ctx context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error) {
	if s.deaf.Load() && (strings.HasPrefix(key, "cmd.") || strings.HasPrefix(key, "rep.")) {
		return 0, record.ErrUnavailable
	}
	return s.KV.Put(ctx, key, body, rev, ttl)
}

// A server stores a result and a report, acknowledges them, and dies before it
// has noted them: the next one finds both in the log, without the gateway.
func TestResultsAreFoundInTheLog(t *testing.T) {
	s := newSite(t, nil)
	s.server.Close()
	s.http.Close()
	kv := &deafKV{KV: s.log}
	s.server = cloud.New(cloud.Options{Log: s.log, Feed: s.log, Gauge: s.log, KV: kv, PubSub: s.log, Credentials: s.creds,
		OperatorToken: operatorToken, Logger: quiet(t)})
	s.http = httptest.NewTLSServer(s.server)
	const doc = "version = 1\n"
	s.put("", doc)
	p := s.dial()
	p.send(&wire.Hello{GatewayID: s.id, All: true, Caps: []string{"commands", "config"}})
	recv[*wire.Welcome](p)
	recv[*wire.Config](p)
	if status, c := s.post("", fmt.Sprintf(setPump, "c-1", "")); status >= 300 {
		t.Fatalf("%d %+v", status, c)
	}
	recv[*wire.Command](p)
	kv.deaf.Store(true)
	e := gateway.NewEpochID()
	for i, event := range []struct {
		kind gateway.EventKind
		body any
	}{
		{gateway.EventResult, gateway.CommandResult{ID: "c-1", State: gateway.CommandFailed, Error: "the relay is stuck"}},
		{gateway.EventResult, gateway.CommandResult{ID: "on-site", State: gateway.CommandDone}},
		{gateway.EventResult, "nonsense"},
		{gateway.EventConfig, gateway.ConfigOutcome{Ver: 1, Hash: hashOf(doc), State: gateway.ConfigApplied}},
	} {
		body, err := json.Marshal(event.body)
		if err != nil {
			t.Fatal(err)
		}
		p.send(&wire.Event{Epoch: e, Seq: uint64(i) + 1, Kind: event.kind, Body: body, Anchor: wireAnchor})
	}
	for held := uint64(0); held < 4; { // the command comes again: nobody has taken it yet
		if a, ok := recv[wire.Message](p).(*wire.Ack); ok {
			held = a.Events.Upto
		}
	}
	p.conn.Close()
	if c := s.commandNow("c-1"); c.State != "sent" {
		t.Fatalf("it was noted: %+v", c)
	}
	s.withLedger() // the first one is gone, and what it had not noted with it
	if c := s.command("c-1"); c.State != gateway.CommandFailed || c.Error != "the relay is stuck" {
		t.Errorf("the next server says %+v", c)
	}
	s.untilReported(1, "applied")
	s.entered()
}

// commandNow asks how far a command is, without waiting.
func (s *site) commandNow(id string) commandView {
	s.t.Helper()
	_, text := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/commands/"+id, "")
	return commandIn(s.t, text)
}
