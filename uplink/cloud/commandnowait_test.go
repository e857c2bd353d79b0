package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An answeredPubSub notes how requests ended.
type answeredPubSub struct {
	record.PubSub
	ended chan error
}

func (a answeredPubSub) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	answer, err := a.PubSub.Request(ctx, subject, data)
	a.ended <- err
	return answer, err
}

// A command that may not wait is refused at once and forgotten: because the
// server is told that nobody listens, not because no answer came in time.
func TestCommandThatMayNotWait(t *testing.T) {
	s := newSite(t, nil)
	s.server.Close()
	s.http.Close()
	asked := answeredPubSub{s.log, make(chan error, 1000)}
	s.pubsub = asked
	s.serve(nil)
	if status, c := s.post("", fmt.Sprintf(setPump, "c-1", `,"queue":false`)); status != http.StatusConflict || c.Code != "not_connected" {
		t.Errorf("status %d, %+v", status, c)
	}
	if err := <-asked.ended; !errors.Is(err, record.ErrNobody) {
		t.Errorf("that nobody listens was found out by: %v", err)
	}
	if status, _ := ask(s, s.http, "GET", "/v1/gateways/"+s.id+"/commands/c-1", ""); status != http.StatusNotFound {
		t.Errorf("it is still there: %d", status)
	}
	p := s.dial()
	p.send(&wire.Hello{GatewayID: s.id, All: true})
	recv[*wire.Welcome](p)
	for { // until the session listens
		status, c := s.post("", fmt.Sprintf(setPump, "c-2", `,"queue":false`))
		if status == http.StatusConflict {
			continue
		}
		if c.State != gateway.CommandRejected || c.Error == "" {
			t.Errorf("a gateway that takes no commands: %d %+v", status, c)
		}
		return
	}
}
