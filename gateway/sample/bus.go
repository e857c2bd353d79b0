package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// maxBackoff keeps short the time between a device's return and its next
// reading; a try costs a transfer or two.
const maxBackoff = 10 * time.Second

// A bus visits its devices one after the other. Everything in it is owned by
// run.
type bus struct {
	s       *Sampler
	name    string // "" for the one device that has none
	devices []*device

	tasks chan func()   // what run shall do between two visits
	ended chan struct{} // closed when run has ended

	visit   *visit
	handle  io.Closer     // nil: to be opened
	gone    bool          // told so
	backoff time.Duration // before the next try to open it
}

// label names the bus, or its only device, for people.
func (b *bus) label() string {
	if b.name == "" {
		return b.devices[0].ID
	}
	return b.name
}

// run visits the devices when they are due, until ctx is done.
func (b *bus) run(ctx context.Context) {
	defer close(b.ended)
	b.visit = newVisit(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, d := range b.devices {
		d.power() // all are on before the first is looked for
	}
	now := time.Now()
	for i, d := range b.devices {
		d.plan = plan{start: now, phase: d.Interval * time.Duration(i) / time.Duration(len(b.devices)), interval: d.Interval}
		d.next = now // the first visit of all at once, then as planned
	}
	for ctx.Err() == nil {
		d := b.earliest()
		timer.Reset(time.Until(d.next))
		select {
		case <-ctx.Done():
		case task := <-b.tasks:
			task()
		case <-timer.C:
			if wait := d.power(); wait > 0 {
				d.next = time.Now().Add(wait)
			} else if !d.yields() {
				b.serve(ctx, d)
			}
		}
	}
	b.halt()
	b.close()
	for _, d := range b.devices {
		d.leave()
	}
}

func (b *bus) earliest() *device {
	first := b.devices[0]
	for _, d := range b.devices[1:] {
		if d.next.Before(first.next) {
			first = d
		}
	}
	return first
}

// serve visits d and decides what the outcome means.
func (b *bus) serve(ctx context.Context, d *device) {
	err := b.attempt(d)
	switch {
	case err != nil && ctx.Err() != nil:
		// Told to stop in the middle of it.
	case err == nil && d.measuring:
		b.found() // it measures; others are visited until d.next
	case b.name != "" && errors.Is(err, drivers.ErrBus):
		b.lost(err)
	case err != nil:
		b.found()
		d.failed(err)
	default:
		b.found()
		d.succeeded()
	}
}

// attempt visits d, and gives what it measured to the sink. A chip that takes a
// while is only started, and read at d.next.
func (b *bus) attempt(d *device) error {
	if err := b.prepare(d); err != nil {
		return err
	}
	if two, ok := d.sensor.(drivers.Starter); ok && !d.measuring {
		wait, err := b.start(d, two)
		if err == nil {
			if d.due.IsZero() { // else it was put off for a request
				d.due = d.next
			}
			d.measuring, d.next = true, time.Now().Add(wait)
		}
		return err
	}
	d.measuring = false
	values, err := b.read(d)
	if err != nil {
		return err
	}
	return d.give(values)
}

// open opens the bus, if it has to be opened and is not.
func (b *bus) open() error {
	if b.handle != nil || b.name == "" {
		return nil
	}
	handle, err := b.s.opts.OpenBus(b.name)
	switch {
	case errors.Is(err, drivers.ErrBus):
		return fmt.Errorf("open %s: %w", b.name, err)
	case err != nil:
		return fmt.Errorf("open %s: %w: %w", b.name, drivers.ErrBus, err)
	}
	b.handle = handle
	return nil
}

// prepare opens what is not open.
func (b *bus) prepare(d *device) error {
	if d.power() > 0 {
		return errSupplyOff
	}
	if err := b.open(); err != nil || d.sensor != nil {
		return err
	}
	b.visit.begin(d.Timeout, d.hang)
	sensor, err := d.Open(b.visit, b.handle)
	b.visit.end()
	if err != nil {
		return d.explain("open", err)
	}
	d.opened(sensor)
	return nil
}

// start begins the measurement of a chip that takes a while, and says when it
// can be read.
func (b *bus) start(d *device, two drivers.Starter) (time.Duration, error) {
	b.visit.begin(d.Timeout, d.hang)
	wait, err := two.Start(b.visit)
	b.visit.end()
	if err != nil {
		return 0, d.explain("start", err)
	}
	return wait, nil
}

// read reads an open device. The values are good until the next visit to it.
func (b *bus) read(d *device) ([]drivers.Value, error) {
	b.visit.begin(d.Timeout, d.hang)
	values, err := d.sensor.Read(b.visit)
	b.visit.end()
	if err != nil {
		return nil, d.explain("read", err)
	}
	return values, nil
}

// lost closes the bus and leaves all its devices to be opened anew, later. The
// bus is closed first, so that no device waits for it.
func (b *bus) lost(err error) {
	b.close()
	b.halt()
	b.backoff = min(max(2*b.backoff, time.Second), maxBackoff)
	retry := time.Now().Add(b.backoff)
	for _, d := range b.devices {
		d.next = retry
		d.show(Absent, err.Error())
		if b.gone { // else it is the first time that this bus fails
			d.vainly(err)
		}
	}
	if !b.gone {
		b.s.tell(Event{Bus: b.name, State: BusGone, Error: err.Error()})
	}
	b.gone = true
	b.s.opts.Health.Raise("bus_gone", b.name, health.Error, fmt.Sprintf(
		"Bus %s cannot be used, so none of its devices is read (%s): %s. Check that it is enabled and wired; it is tried again every %v at most.",
		b.name, b.names(), err, maxBackoff))
}

// found notes that the bus works: a device answered, or was seen to be absent.
func (b *bus) found() {
	if !b.gone {
		return
	}
	b.gone, b.backoff = false, 0
	b.s.opts.Health.Clear("bus_gone", b.name, fmt.Sprintf("Bus %s works again.", b.name))
	b.s.tell(Event{Bus: b.name, State: BusBack})
}

func (b *bus) names() string {
	names := b.devices[0].ID
	for _, d := range b.devices[1:] {
		names += ", " + d.ID
	}
	return names
}

// halt leaves every device inert, as far as it can be reached.
func (b *bus) halt() {
	for _, d := range b.devices {
		d.halt()
	}
}

func (b *bus) close() {
	if b.handle == nil {
		return
	}
	_ = b.handle.Close() // nothing can be done about it, and nothing was being written
	b.handle = nil
}
