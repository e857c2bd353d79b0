package command

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A quietSession is a session of gateway g, to which nothing is sent.
type quietSession struct{ log *slog.Logger }

func (x quietSession) GatewayID() string                 { return "g" }
func (x quietSession) Hello() *wire.Hello                { return &wire.Hello{} }
func (x quietSession) Log() *slog.Logger                 { return x.log }
func (x quietSession) Remark(slog.Level, string, ...any) {}
func (x quietSession) Send(wire.Message) error           { return nil }

// A KV that does not answer costs no result: it is kept later, and the
// final one wins over what came before.
func TestResultsThatTheKVDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		kv := &cloudtest.KV{}
		c := NewDispatcher(kv, nil, log, func(Command) {})
		doc := Command{ID: "c-1", Gateway: "g", State: Sent, Expires: time.Now().Add(time.Minute)}
		if err := c.Store.put(t.Context(), doc, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Run(ctx)
		x := quietSession{log}
		answers := func(fault func() (bool, error)) {
			kv.Mu.Lock()
			defer kv.Mu.Unlock()
			kv.Fault = fault
		}
		late := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.late)
		}
		answers(func() (bool, error) { return false, errors.New("no answer") })
		for _, state := range []gateway.CommandState{gateway.CommandRunning, gateway.CommandDone, gateway.CommandRunning} {
			c.Heard(x, &wire.Result{ID: "c-1", State: state})
		}
		time.Sleep(time.Minute)
		if late() != 1 {
			t.Errorf("%d results are late, want 1", late())
		}
		answers(nil)
		time.Sleep(lateEvery + time.Second)
		if d, _, err := c.Store.Command(t.Context(), "g", "c-1"); err != nil || d.State != gateway.CommandDone || late() != 0 {
			t.Errorf("it is %+v (%v), %d are late", d, err, late())
		}
		answers(func() (bool, error) { return false, record.ErrRevision })
		if err := c.note("g", &wire.Result{ID: "c-1", State: gateway.CommandFailed}); err != nil {
			t.Errorf("what changes nothing is written: %v", err)
		}
	})
}

// Whatever comes in whatever order: a command that may be sent once is sent
// to act once, none is after its expiry or when it is final, and the first
// final state stays.
func TestCommandDocMovesForward(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	states := []gateway.CommandState{gateway.CommandAccepted, gateway.CommandRunning, gateway.CommandDone,
		gateway.CommandFailed, gateway.CommandRejected, gateway.CommandUnknown, "new"}
	for range 20_000 {
		now := time.Now()
		d := Command{State: Queued, Once: random.IntN(2) == 0, Expires: now.Add(time.Duration(random.IntN(30)) * time.Second)}
		var final gateway.CommandState
		acts := 0
		for range 12 {
			now = now.Add(time.Duration(random.IntN(6)) * time.Second)
			before := rank(d.State)
			if random.IntN(2) == 0 && d.State != Queued {
				d.apply(&wire.Result{State: states[random.IntN(len(states))]})
			} else if m, _ := d.next(now); m != nil && m.TTLMS > 0 {
				if acts++; m.Again != (acts > 1) || d.Once && acts > 1 || !now.Before(d.Expires) || before > 1 {
					t.Fatalf("sent to act for the %dth time, from rank %d: %+v %+v", acts, before, m, d)
				}
			} else if m != nil && !m.Again {
				t.Fatalf("a question that is none: %+v", m)
			}
			if rank(d.State) < before || final != "" && d.State != final {
				t.Fatalf("went from rank %d, final %q, to %s", before, final, d.State)
			}
			if d.Final() {
				final = d.State
			}
		}
	}
}

// FuzzCommandBody feeds the door of the operator's API: whatever it takes can
// be sent to a gateway as it stands, and keeps its meaning on the KV.
func FuzzCommandBody(f *testing.F) {
	for _, seed := range []string{
		`{"id":"c-1","device_id":"pump","action":"set","value":1}`,
		`{"device_id":"door","action":"open","once":true,"ttl_ms":5000,"lease_ms":60000,"queue":false}`,
		`{"id":"x","device_id":"valve","action":"ramp","args":{"to":[1,2,{"a":null}]},"ttl_ms":604800000}`,
		`{"id":"c","device_id":"pump","action":"set","value":1e308}`,
		`{"id":"c","device_id":"pump","action":"set","value":1e309}`,
		`{"id":"c","device_id":"pump","action":"set","value":0,"value":1}`,
		`{"id":"c","device_id":"pump","ACTION":"set"}`,
		`{"id":"c","device_id":"pump","acſtion":"set"}`,
		`{"id":"c","device_id":"pump","action":"set","args":null,"value":null}`,
		`[[[[[[[[[[[[`, `{"id":`, `"c"`, ``, `{}`, `{"args":{"args":{"args":1}}}`,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > MaxBody {
			return
		}
		d, err := Parse(body, "g", now)
		if err != nil {
			return
		}
		m, changed := d.next(now)
		if m == nil || !changed || m.TTLMS < 1 || m.TTLMS > wire.MaxCommandTTL.Milliseconds() {
			t.Fatalf("%s gives %+v", body, m)
		}
		for _, codec := range []*wire.Codec{wire.CBOR, wire.JSON} {
			b, err := codec.Encode(m)
			if err != nil {
				t.Fatalf("%s cannot be sent as %s: %v", body, codec.Subprotocol, err)
			}
			if _, err := codec.Decode(b); err != nil {
				t.Fatalf("%s is not understood as %s: %v", body, codec.Subprotocol, err)
			}
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Command
		if err := json.Unmarshal(text, &back); err != nil || !back.same(d) || !d.same(back) {
			t.Fatalf("%s comes back as %+v (%v)", body, back, err)
		}
	})
}
