package command

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// recover takes up what an earlier run left. If power fails during it, it is
// done again.
func (d *Dispatcher) recover() {
	boot := d.o.Clock.Anchor().Boot
	for _, r := range d.o.Records.OpenCommands() {
		e := &entry{received: r.Received, anchor: r.Anchor}
		err := json.Unmarshal(r.Command, &e.Command)
		e.ID = r.ID
		switch {
		// It was noted as running, and has no result: the gateway stopped in between. It
		// is never tried again.
		case r.State != gateway.CommandAccepted || err != nil:
			d.settle(e, gateway.CommandUnknown, nil, "the gateway stopped while it ran: whether it acted is not known")
		// Stamps of this boot can be compared with now; those of another cannot, until
		// the wall time is known.
		case r.Anchor.Boot == boot:
			e.expiry = r.Received.Add(min(e.TTL, maxTTL))
			d.enqueue(e)
		default:
			d.doubtful = append(d.doubtful, e)
		}
	}
	d.review()
}

// review looks at what waits: what has expired is told at once, not when its
// device is free.
func (d *Dispatcher) review() {
	d.doubtful = slices.DeleteFunc(d.doubtful, func(e *entry) bool {
		proven, expired := d.revive(e)
		switch {
		case expired:
			d.settle(e, gateway.CommandExpired, nil, "the gateway restarted before it could act")
		case proven:
			d.enqueue(e)
		}
		return proven || expired
	})
	d.waiting = slices.DeleteFunc(d.waiting, func(e *entry) bool {
		expired := d.expired(e)
		if expired {
			d.settle(e, gateway.CommandExpired, nil, "")
		}
		return expired
	})
	if now := d.o.Clock.Stamp(); now >= d.retryAt {
		d.saveUnsaved()
		d.retryAt = now.Add(retryEvery)
	}
}

// enqueue puts a command into its place among those that wait.
func (d *Dispatcher) enqueue(e *entry) {
	at := len(d.waiting)
	for at > 0 && d.waiting[at-1].Seq > e.Seq && e.Seq > 0 {
		at--
	}
	d.waiting = slices.Insert(d.waiting, at, e)
}

func (d *Dispatcher) dequeue(e *entry) {
	d.waiting = slices.DeleteFunc(d.waiting, func(w *entry) bool { return w == e })
}

// next tells whether a command that waits may begin now: its device and a
// place are free, and no other of its device comes first.
func (d *Dispatcher) next(e *entry) bool {
	if d.busy[e.Device] || len(d.busy) >= actingMost {
		return false
	}
	first := slices.IndexFunc(d.waiting, func(w *entry) bool { return w.Device == e.Device })
	return first >= 0 && d.waiting[first] == e
}

// startNext begins whatever may.
func (d *Dispatcher) startNext(ctx context.Context) {
	for _, e := range slices.Clone(d.waiting) {
		if d.next(e) {
			d.dequeue(e)
			d.start(ctx, e)
		}
	}
}

// start records that a command runs, and then has it act. If power fails
// before the record is durable, it did not act; if it fails later, nobody
// knows.
func (d *Dispatcher) start(ctx context.Context, e *entry) {
	if d.expired(e) {
		d.settle(e, gateway.CommandExpired, nil, "")
		return
	}
	// The record is on the card before the output moves: a repeat of this command
	// finds it then, and does not act a second time.
	if err := d.save(e, d.result(e, gateway.CommandRunning, nil, "")); err != nil {
		d.cannotRecord(e, err)
		return
	}
	if ctx.Err() != nil {
		d.settle(e, gateway.CommandRejected, nil, "the gateway stops")
		return
	}
	if d.expired(e) { // the card may have taken its time
		d.settle(e, gateway.CommandExpired, nil, "")
		return
	}
	// On a goroutine of its own, because an output may be slow, and the commands of
	// other devices must not wait for it.
	d.busy[e.Device] = true
	d.acting.Go(func() {
		value, err := d.o.Executor.Act(ctx, e.Command)
		d.over <- outcome{e, value, err}
	})
}

// finish records what came of it.
func (d *Dispatcher) finish(ctx context.Context, o outcome) {
	delete(d.busy, o.Device)
	if o.value != nil && (math.IsNaN(*o.value) || math.IsInf(*o.value, 0)) {
		o.value = nil // JSON has no such numbers
	}
	switch {
	case o.err == nil:
		d.settle(o.entry, gateway.CommandDone, o.value, "")
	case ctx.Err() != nil:
		d.settle(o.entry, gateway.CommandUnknown, o.value, "the gateway stopped while it ran: "+o.err.Error())
	default:
		d.settle(o.entry, gateway.CommandFailed, o.value, o.err.Error())
	}
}

// cannotRecord refuses a command whose record the card does not take.
func (d *Dispatcher) cannotRecord(e *entry, err error) {
	d.settle(e, gateway.CommandRejected, nil, "cannot_record: a command acts only when its record is on the card: "+err.Error())
}

// settle records a final result. If the card refuses it, it is told all the
// same, and written later.
func (d *Dispatcher) settle(e *entry, state gateway.CommandState, value *float64, why string) {
	r := d.result(e, state, value, why)
	d.o.Log.Info("command "+string(state), "id", e.ID, "device", e.Device, "action", e.Action, "why", r.Error)
	if d.save(e, r) == nil {
		return
	}
	// What fails here is told by the store, which also writes the event when
	// the card works again.
	_, _ = d.o.Records.AddEvent(d.event(e, r))
	if len(d.unsaved) < unsavedMost || state == gateway.CommandDone || state == gateway.CommandFailed {
		d.unsaved[e.ID] = d.record(e, r)
		d.retryAt = d.o.Clock.Stamp().Add(retryEvery)
	}
	d.o.Tell(r)
}

// saveUnsaved writes the results that the card refused, as far as it takes
// them now.
func (d *Dispatcher) saveUnsaved() {
	for id, r := range d.unsaved {
		if d.o.Records.SaveCommand(r, nil) != nil {
			return
		}
		delete(d.unsaved, id)
	}
}

// save makes a change of state durable, and tells it.
func (d *Dispatcher) save(e *entry, r gateway.CommandResult) error {
	ev := d.event(e, r)
	if err := d.o.Records.SaveCommand(d.record(e, r), &ev); err != nil {
		return err
	}
	d.o.Tell(r)
	return nil
}

// record is what the card gets. The command itself is needed as long as it
// may act.
func (d *Dispatcher) record(e *entry, r gateway.CommandResult) gateway.CommandRecord {
	rec := gateway.CommandRecord{ID: e.ID, State: r.State, Received: e.received, Anchor: e.anchor, Result: encode(r)}
	if !r.State.Final() {
		rec.Command = encode(e.Command)
	}
	return rec
}

func (d *Dispatcher) event(e *entry, r gateway.CommandResult) gateway.Event {
	return gateway.Event{Kind: gateway.EventResult, Device: e.Device, Body: encode(r)}
}

func (d *Dispatcher) result(e *entry, state gateway.CommandState, value *float64, why string) gateway.CommandResult {
	r := gateway.CommandResult{ID: e.ID, State: state, Value: value, Error: strings.ToValidUTF8(why[:min(len(why), maxError)], "")}
	if a := d.o.Clock.Anchor(); a.Quality > gateway.ClockNone {
		r.At = a.Wall(d.o.Clock.Stamp()).Truncate(time.Millisecond)
	}
	return r
}

// told is the result that a record holds.
func told(r gateway.CommandRecord) gateway.CommandResult {
	var res gateway.CommandResult
	if json.Unmarshal(r.Result, &res) != nil {
		res = gateway.CommandResult{}
	}
	res.ID, res.State = r.ID, cmp.Or(r.State, gateway.CommandUnknown)
	return res
}

// encode gives JSON of what has been checked to have it.
func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return nil // args that are no JSON: see Dispatcher.check
	}
	return text
}
