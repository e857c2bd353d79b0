package cloud

import (
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ackAfter is how many messages one ack answers at most.
const ackAfter = 8

// A pendingAcks is what a gateway has not been told yet: one ack answers many
// messages.
type pendingAcks struct {
	epochs   []gateway.EpochID // that moved, or were sent again
	event    *wire.EventAck
	messages int
	since    time.Time          // when the oldest of them came
	lanes    [lanes]wire.Window // what the answer makes room for
}

// add notes that an item has an answer.
func (o *pendingAcks) add(it item) {
	if o.messages++; o.messages == 1 {
		o.since = it.came
	}
	o.lanes[it.lane].Msgs++
	o.lanes[it.lane].Bytes += len(it.raw)
}

func (o *pendingAcks) addEpoch(id gateway.EpochID) {
	if !slices.Contains(o.epochs, id) {
		o.epochs = append(o.epochs, id)
	}
}

// due reports whether to answer at once. Half a window is enough, so that the
// gateway can fill it while the other half is stored.
func (o *pendingAcks) due() bool {
	for lane, w := range o.lanes {
		most := windowOf(&wire.DefaultWindows, lane)
		if 2*w.Msgs >= most.Msgs || 2*w.Bytes >= most.Bytes {
			return true
		}
	}
	return o.messages >= ackAfter
}

// flushAcks sends the acks that are pending, if any are. Nothing is acknowledged on the word
// of a log whose connection broke meanwhile.
func (x *session) flushAcks() error {
	if x.pending.messages == 0 || x.interrupted() {
		return nil
	}
	return x.send(x.ackPending(&wire.Ack{}))
}

// ackPending puts into an ack all that is pending.
func (x *session) ackPending(a *wire.Ack) *wire.Ack {
	a.Epochs = make([]wire.EpochAck, 0, len(x.pending.epochs))
	for _, id := range x.pending.epochs {
		a.Epochs = append(a.Epochs, x.state.Get(id).Ack())
	}
	a.Events = x.pending.event
	for lane, w := range x.pending.lanes {
		x.intake.answered(lane, w)
	}
	if x.pending.messages > 0 {
		x.server.metrics.ack.UpdateDuration(x.pending.since)
	}
	x.pending = pendingAcks{epochs: x.pending.epochs[:0]}
	return a
}

// nack refuses an item, after what came before it was acknowledged.
func (x *session) nack(it item, n *wire.Nack) error {
	if err := x.flushAcks(); err != nil {
		return err
	}
	x.server.metrics.count("nack_total", "code", string(n.Code))
	x.intake.answered(it.lane, wire.Window{Msgs: 1, Bytes: len(it.raw)})
	return x.send(n)
}
