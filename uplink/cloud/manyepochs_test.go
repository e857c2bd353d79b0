package cloud

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// natsHeaders is what the headers of one message may have together; nats-server
// counts them in 16 bits.
const natsHeaders = 1<<16 - 1

// A narrowLog takes no more headers than a real one.
type narrowLog struct{ cloudtest.Log }

func (l *narrowLog) Append(ctx context.Context, id string, after uint64, r record.Record) (uint64, error) {
	if len(r.State)+512 > natsHeaders {
		return 0, errors.Join(record.ErrUnavailable, errors.New("the headers are too large"))
	}
	return l.Log.Append(ctx, id, after, r)
}

// A gateway may name as many epochs as it likes: its records must fit into the
// log, or it alone would make the server look as if its log were broken.
func TestGatewayWithTooManyEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dial := piped(t, Options{Log: &narrowLog{}})
		stored := 0
		for range 3 {
			conn := dial()
			say(t, conn, &wire.Hello{GatewayID: "g"})
			hear[*wire.Welcome](t, conn)
			err := error(nil)
			for n := 0; err == nil; n++ {
				if n > 2*record.MaxSessionEpochs {
					t.Fatal("it takes any number")
				}
				say(t, conn, &wire.Update{
					Lane: wire.LaneLive, Epoch: gateway.NewEpochID(), First: 1, N: 1<<53 - 2,
					End: &wire.End{Why: gateway.WhyUncleanStop, Anchor: &wire.Anchor{}}, Gap: &wire.Gap{Why: gateway.WhyCardFailed},
				})
				if _, _, err = conn.ReadMessage(); err == nil {
					stored++
				}
			}
			if !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
				t.Fatalf("after %d epochs: %v", stored, err)
			}
			synctest.Wait()
			if err := s.storage.err(); err != nil {
				t.Fatalf("the server is not ready: %v", err)
			}
		}
		if want := record.MaxSessionEpochs + 2*(record.MaxSessionEpochs-record.MaxEpochs); stored != want {
			t.Errorf("%d epochs were taken, want %d", stored, want)
		}
	})
}

// One that never says that it lists all, and never ends any, is not kept
// either.
func TestUnfinishedEpochsAreBounded(t *testing.T) {
	var s record.State
	var h *wire.Hello
	for range 10 {
		h = &wire.Hello{}
		for range wire.MaxHelloEpochs {
			h.Epochs = append(h.Epochs, wire.HelloEpoch{Epoch: gateway.NewEpochID()})
		}
		s = s.Opened(h)
	}
	if len(s.Epochs) != record.MaxEpochs {
		t.Errorf("%d epochs, want %d", len(s.Epochs), record.MaxEpochs)
	}
	for _, e := range h.Epochs {
		if !s.Knows(e.Epoch) {
			t.Fatalf("epoch %s, which hello names, is not among them", e.Epoch)
		}
	}
}
