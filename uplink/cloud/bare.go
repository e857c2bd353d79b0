package cloud

import (
	"log/slog"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A bare reading has no name, so the server gives it one: the next of an epoch
// that it makes for the bare readings of a session. The session that comes
// after closes that epoch, whose last reading is then known for certain.

// storeBare stores a reading without a name and answers it with an ack that
// names none.
func (x *session) storeBare(it item, m *wire.Bare) error {
	if x.bare == (gateway.EpochID{}) {
		x.bare = gateway.NewEpochID()
	}
	after := x.state.Get(x.bare)
	after.Upto++
	after.End = record.EndBare
	u, f := asBlocks(&wire.Update{
		Lane: wire.LaneLive, Epoch: x.bare, First: after.Upto, N: 1, Readings: []wire.Row{rowOf(m, time.Now())},
	})
	if f == nil {
		f = checkBlocks(u, time.Now())
	}
	if f != nil {
		return x.refuseBare(it, f)
	}
	body, err := wire.Encode(u)
	if err != nil {
		return err
	}
	state := x.state.With(after)
	r := record.Record{Kind: record.KindUpdate, State: state.String(), Epoch: x.bare, First: after.Upto, N: 1, Lane: u.Lane, Body: body}
	if err := x.store(r, u); err != nil {
		return err
	}
	x.state = state
	x.server.metrics.countItem(x, it, 1)
	if err := x.flushAcks(); err != nil || x.interrupted() {
		return err
	}
	x.intake.answered(it.lane, wire.Window{Msgs: 1, Bytes: len(it.raw)})
	return x.send(&wire.Ack{Epochs: []wire.EpochAck{}})
}

func (x *session) refuseBare(it item, f *flaw) error {
	x.remark(slog.LevelWarn, "reading refused", "error", f)
	x.intake.answered(it.lane, wire.Window{Msgs: 1, Bytes: len(it.raw)})
	return x.send(&wire.Error{Code: string(f.code), Message: f.Error()})
}

// rowOf says what a bare reading says. A time that it does not say is when it
// came; one of which it does not say where it is from may be wrong.
func rowOf(m *wire.Bare, now time.Time) wire.Row {
	r := wire.Row{
		Device: m.Device, Quantity: m.QuantityOr("value"), Value: m.Value, Unit: m.Unit,
		Timestamp: m.Timestamp, Quality: m.Quality, Time: m.Time,
	}
	if r.Timestamp == 0 {
		r.Timestamp, r.Time = wire.Time(now.UnixMicro()), gateway.ClockSession.String()
	}
	if r.Quality == "" {
		r.Quality = gateway.Good.String()
	}
	return r
}
