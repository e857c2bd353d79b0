package cloud

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A diary is a part that writes down what it is told.
type diary struct {
	session *session
	mu      sync.Mutex
	lines   []string
}

func (d *diary) write(format string, v ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, v...))
}

func (d *diary) part() part {
	return part{
		opened: func(x *session) {
			d.session = x
			d.write("opened %s %s", x.gatewayID, x.hello.Software)
			_ = x.send(&wire.Command{ID: "c-1", Device: "pump", Action: "set"})
		},
		closed: func(x *session, cause error) { d.write("closed %s", x.gatewayID) },
		stored: func(x *session, r record.Record, m wire.Message) {
			d.write("stored %s %d+%d at %d as %T", r.Kind, r.First, r.N, r.Seq, m)
		},
		heard: func(x *session, m wire.Message) { d.write("heard %T", m) },
	}
}

func TestPartsAreNotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		_, dial := piped(t, Options{Log: &cloudtest.Log{}}, part{}, d.part())
		conn := dial()
		say(t, conn, &wire.Hello{GatewayID: "g", Software: "x/1"})
		hear[*wire.Welcome](t, conn)
		hear[*wire.Command](t, conn)
		u := &wire.Update{Lane: wire.LaneLive, Epoch: gateway.EpochID{1}, First: 1, N: 3, Gap: &wire.Gap{Why: gateway.WhyUnknown}}
		say(t, conn, u)
		hear[*wire.Ack](t, conn)
		say(t, conn, u) // is there already
		hear[*wire.Ack](t, conn)
		for _, m := range []wire.Message{
			&wire.Status{}, &wire.Result{ID: "c-1", State: gateway.CommandDone}, &wire.Reported{Hash: strings.Repeat("0", 64), State: "applied"},
		} {
			say(t, conn, m)
		}
		synctest.Wait()
		go func() { _ = d.session.send(&wire.Config{Ver: 1, Hash: strings.Repeat("0", 64)}) }()
		hear[*wire.Config](t, conn)
		conn.Close()
		synctest.Wait()
		want := []string{"opened g x/1", "stored gap 1+3 at 2 as *wire.Update",
			"heard *wire.Status", "heard *wire.Result", "heard *wire.Reported", "closed g"}
		if got := d.lines; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told\n%q, want\n%q", got, want)
		}
	})
}
