package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// What a visit that was asked for can fail with, beside what the device says.
var (
	ErrNoDevice = errors.New("there is no such device")
	ErrNoBus    = errors.New("no device is on this bus")
	errStopped  = errors.New("sampling has stopped")
)

// A Visit is what a visit gave that somebody asked for.
type Visit struct {
	Readings []gateway.Reading // as the device gave them: not calibrated
	Notes    []string          // why a value is in doubt, or missing
	Waited   time.Duration     // for the bus
	Took     time.Duration     // the visit itself, opening included
}

// patience is how long the plan waits for who asked for a visit of a chip that
// takes a while, and does not come for the value.
const patience = time.Second

// A request is one visit out of turn.
type request struct {
	asked time.Time
	began time.Time // of its first step
	ready time.Time // when the chip that it started has measured
	visit Visit
}

// Visit visits a device now, in the turn of its bus: between two visits, never
// within one. What it measures is the caller's alone. It does not go to the
// sink: so nobody who asks often can make more readings than the plan allows.
//
// The device stays as it was planned, with one exception: one that was sick and
// answers is due at once, so that its readings go on. An error is ErrNoDevice,
// or says why there is no value.
func (s *Sampler) Visit(ctx context.Context, id string) (Visit, error) {
	for _, b := range s.buses {
		i := slices.IndexFunc(b.devices, func(d *device) bool { return d.ID == id })
		if i >= 0 {
			return b.devices[i].ask(ctx, b.do)
		}
	}
	return Visit{}, fmt.Errorf("%q: %w", id, ErrNoDevice)
}

// ask makes one visit out of turn, step by step. run runs a step in the turn of
// the bus.
func (d *device) ask(ctx context.Context, run func(context.Context, func(*bus)) error) (Visit, error) {
	r := &request{asked: time.Now()}
	for {
		var again time.Duration
		var failed error
		err := run(ctx, func(b *bus) { again, failed = b.step(d, r) })
		if err != nil {
			return Visit{}, err // the step may still be under way, and write to r
		}
		if failed != nil || again <= 0 {
			return r.visit, failed
		}
		if err := pause(ctx, again); err != nil {
			return Visit{}, fmt.Errorf("wait for the measurement: %w", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WithBus runs f with the open bus of this name, in its turn. f must not keep
// the bus, and returns soon: all devices of the bus wait. An error is ErrNoBus if
// no device is on it.
func (s *Sampler) WithBus(ctx context.Context, name string, f func(bus io.Closer) error) error {
	for _, b := range s.buses {
		if b.name != name || name == "" {
			continue
		}
		var failed error
		err := b.do(ctx, func(b *bus) {
			if failed = b.open(); failed == nil {
				failed = f(b.handle)
			}
		})
		if err != nil {
			return err
		}
		return failed
	}
	return fmt.Errorf("%s: %w", name, ErrNoBus)
}

// Once visits a device of which no Sampler runs: it opens the device and its
// bus, and closes both. Of the options Devices holds this one, and Sink is not
// used.
func Once(ctx context.Context, o Options) (Visit, error) {
	if o.Health == nil { // nobody watches: the answer says what is wrong
		o.Health = health.New(slog.New(slog.DiscardHandler))
	}
	b := New(o).buses[0]
	b.visit = newVisit(ctx)
	defer b.close()
	defer b.devices[0].leave()
	defer b.halt()
	return b.devices[0].ask(ctx, func(_ context.Context, step func(*bus)) error { step(b); return nil })
}

// do has the goroutine of the bus run task, and waits for it.
func (b *bus) do(ctx context.Context, task func(*bus)) error {
	done := make(chan struct{})
	select {
	case b.tasks <- func() { defer close(done); task(b) }:
	case <-b.ended:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("%s is busy with another visit: %w", b.label(), ctx.Err())
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w: %w", b.label(), errHangs, ctx.Err())
	}
}

// step does what can be done at once of a visit out of turn. If that is not all,
// it says after which time to call it again.
func (b *bus) step(d *device, r *request) (again time.Duration, err error) {
	now := time.Now()
	switch {
	case d.measuring: // for the plan: it is read first
		return max(d.next.Sub(now), 0) + time.Millisecond, nil
	case d.request == nil && !d.due.IsZero() && !d.next.After(now): // the plan was put off: it is next
		return time.Millisecond, nil
	case d.request != nil && d.request != r && now.Before(d.request.ready.Add(patience)):
		return max(d.request.ready.Sub(now), 0) + time.Millisecond, nil
	}
	if wait := d.power(); wait > 0 && wait <= wakes {
		return wait, nil // its power just came
	}
	if r.began.IsZero() {
		r.began, r.visit.Waited = now, now.Sub(r.asked)
	}
	if again, err = b.advance(d, r); err != nil {
		d.halt() // it is opened anew; the plan finds out what is wrong
	}
	r.visit.Took = time.Since(r.began)
	return again, err
}

// advance starts a chip that takes a while, or reads the device.
func (b *bus) advance(d *device, r *request) (again time.Duration, err error) {
	if err := b.prepare(d); err != nil {
		return 0, err
	}
	if two, ok := d.sensor.(drivers.Starter); ok && d.request != r {
		if again, err = b.start(d, two); err == nil {
			again = max(again, time.Millisecond)
			d.request, r.ready = r, time.Now().Add(again)
		}
		return again, err
	}
	d.request = nil
	values, err := b.read(d)
	if err == nil {
		err = d.note(values)
	}
	if err != nil {
		return 0, err
	}
	if d.backoff > 0 || b.gone || !d.due.IsZero() {
		d.next = time.Now() // the plan sees that it is well, or catches up
	}
	r.visit.keep(d, values)
	return 0, nil
}

// keep takes what a visit gave.
func (v *Visit) keep(d *device, values []drivers.Value) {
	v.Readings = slices.Clone(d.readings)
	for _, x := range values {
		if x.Doubt != "" {
			v.Notes = append(v.Notes, x.Quantity+": "+x.Doubt)
		}
	}
	if p, ok := d.sensor.(drivers.Partial); ok && p.Missing() != nil {
		v.Notes = append(v.Notes, p.Missing().Error())
	}
}

// yields puts off the planned visit of a device that measures for a request, and
// reports whether it did.
func (d *device) yields() bool {
	if d.request == nil {
		return false
	}
	until := d.request.ready.Add(patience)
	if !time.Now().Before(until) {
		d.request = nil // who asked went away
		return false
	}
	if d.due.IsZero() {
		d.due = d.next
	}
	d.next = until
	return true
}
