package uplink_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A clerk notes the commands that came.
type clerk struct {
	mu       sync.Mutex
	commands []gateway.Command
	at       []gateway.Stamp
}

func (c *clerk) Take(m gateway.Command, at gateway.Stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands, c.at = append(c.commands, m), append(c.at, at)
}

// Commands reach whoever acts on them, with the stamp of their receipt, and
// results go out at once, ahead of readings; a gateway that takes none says so
// in hello and as to a message it does not know.
func TestCommandsAndResults(t *testing.T) {
	c := &clerk{}
	var out uplink.Outbox
	var mu sync.Mutex
	var results []wire.Result
	setup := func(w *testbed, o *uplink.Options) {
		out = uplink.NewOutbox() // in the bubble
		o.Commands, o.Outgoing = c, out
		w.cloud.OnReport = func(m wire.Message) {
			mu.Lock()
			defer mu.Unlock()
			if r, ok := m.(*wire.Result); ok {
				results = append(results, *r)
			}
		}
	}
	inTestbed(t, setup, func(w *testbed) {
		w.online()
		if caps := w.cloud.Hellos()[0].Caps; !slices.Equal(caps, []string{"commands"}) {
			t.Errorf("hello says %v", caps)
		}
		v := 1.5
		w.cloud.SendAll(&wire.Command{ID: "c-1", Device: "pump", Action: "set", Value: &v, TTLMS: 5000, LeaseMS: 9000,
			Seq: 7, Once: true, Again: true, Expires: 1_000_000})
		w.pass(time.Second)
		c.mu.Lock()
		if len(c.commands) != 1 || c.at[0] <= 0 {
			t.Fatalf("took %+v at %v", c.commands, c.at)
		}
		got := c.commands[0]
		c.mu.Unlock()
		if got.ID != "c-1" || got.TTL != 5*time.Second || got.Lease != 9*time.Second || got.Seq != 7 || !got.Once ||
			!got.Again || *got.Value != v || !got.Expires.Equal(time.Unix(1, 0)) {
			t.Errorf("took %+v", got)
		}
		for range 100 { // more than fit are left out, and nobody waits
			out.Result(gateway.CommandResult{ID: "c-1", State: gateway.CommandDone, Value: &v, At: time.Unix(1, 0)})
		}
		w.pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(results) < 64 || results[0].State != gateway.CommandDone || results[0].At != 1_000_000 {
			t.Errorf("%d results came: %+v", len(results), results)
		}
	})
}
