package cloud_test

import (
	"net/http"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestUnfinishedEpochsAreNotForgotten: of what is unfinished nothing is
// forgotten, however much it is, or it would be stored twice; and it fits into
// a record of a real log, with the longest numbers.
func TestUnfinishedEpochsAreNotForgotten(t *testing.T) {
	s := newSite(t, nil)
	p, _ := s.open()
	const upto = 1<<63 - 2
	var begun []gateway.EpochID
	for {
		e := gateway.NewEpochID()
		p.send(gap(e, 1, upto))
		if _, _, err := p.conn.ReadMessage(); err == nil {
			begun = append(begun, e)
		} else if websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
			break
		} else {
			t.Fatalf("after %d epochs: %v", len(begun), err)
		}
	}
	p = s.dial()
	h := &wire.Hello{GatewayID: s.id}
	for range wire.MaxHelloEpochs {
		h.Epochs = append(h.Epochs, wire.HelloEpoch{Epoch: gateway.NewEpochID(), Oldest: 1})
	}
	p.send(h)
	recv[*wire.Welcome](p)
	for _, he := range h.Epochs {
		if a := p.acked(gap(he.Epoch, 1, upto)); a.Upto != upto {
			t.Fatalf("ack %+v", a)
		}
	}
	for _, e := range begun {
		if a := p.acked(gap(e, 1, 5)); a.Upto != upto {
			t.Fatalf("ack %+v of what the log has", a)
		}
	}
	if resp := s.get("/readyz", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("the server is not ready: %s", resp.Status)
	}
}
