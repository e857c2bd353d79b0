package wire

import (
	"reflect"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

func TestRoundTrip(t *testing.T) {
	e := gateway.NewEpochID()
	n := uint64(7)
	for _, m := range []Message{
		&Hello{GatewayID: "g", Epochs: []HelloEpoch{{Epoch: e, Oldest: 1, Last: 9, Growth: gateway.OpenEnded, Acked: 3}}, All: true},
		&Welcome{Session: "s", Level: LevelFsynced, Epochs: []EpochAck{{Epoch: e, Upto: 3, Done: true}}},
		&Update{Lane: LaneLive, Epoch: e, First: 1, N: 2, Blocks: [][]byte{{1}, {2}}, End: &End{Closed: &n}},
		&Ack{Epochs: []EpochAck{{Epoch: e, Upto: 4}}},
		&Nack{Epoch: e, Code: NackSeq, Retry: true, Expected: 4},
		&Ping{T0: 1}, &Pong{T0: 1, T1: 2, T2: 3}, &Error{Code: "x", Message: "y"},
	} {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%T: %v (% x)", m, err, b)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, want %+v", got, m)
		}
	}
}
