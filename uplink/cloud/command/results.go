package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// saidBy gives what an event says of a command or of a configuration: a
// *wire.Result, a *wire.Reported, or nil if it is about neither.
func saidBy(ev *wire.Event) (wire.Message, error) {
	switch ev.Kind {
	case gateway.EventResult:
		var r gateway.CommandResult
		if err := json.Unmarshal(ev.Body, &r); err != nil || !gateway.ValidID(r.ID) {
			return nil, errors.Join(errors.New("it is not the result of a command"), err)
		}
		res := &wire.Result{ID: r.ID, State: r.State, Value: r.Value, Error: r.Error}
		if !r.At.IsZero() {
			res.At = wire.Time(r.At.UnixMicro())
		}
		return res, nil
	case gateway.EventConfig:
		var o gateway.ConfigOutcome
		if err := json.Unmarshal(ev.Body, &o); err != nil || o.Hash == "" {
			return nil, errors.Join(errors.New("it does not say what became of a configuration"), err)
		}
		return &wire.Reported{Ver: o.Ver, Hash: o.Hash, State: string(o.State), Errors: o.Errors}, nil
	}
	return nil, nil
}

// FromLog takes an event as the ledger reads it in the log: what the session
// that stored it has noted already changes nothing; what it had no time for is
// noted now. An error means that the KV does not take it: the event is to
// come again.
func (c *Dispatcher) FromLog(ctx context.Context, gatewayID string, ev *wire.Event) error {
	said, err := saidBy(ev)
	switch said := said.(type) {
	case *wire.Result:
		_, err = c.Store.change(ctx, gatewayID, said.ID, func(d *Command) bool { return d.apply(said) })
	case *wire.Reported:
		// Only what nobody has heard of yet: the session's word is newer.
		var before *Reported
		if before, err = c.Store.Reported(ctx, gatewayID); err == nil && (before == nil || before.Ver < said.Ver) {
			err = c.Store.noteReport(ctx, gatewayID, said)
		}
	}
	for _, again := range []error{record.ErrUnavailable, record.ErrFull, record.ErrRevision, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, again) {
			return fmt.Errorf("note what %s says in an event: %w", gatewayID, err)
		}
	}
	if err != nil && !errors.Is(err, record.ErrNoDoc) { // given on site, or long over
		c.log.Warn("an event in the log makes no sense, or its command cannot be read", "gateway", gatewayID, "kind", ev.Kind,
			"epoch", ev.Epoch, "seq", ev.Seq, "error", err)
	}
	return nil
}
