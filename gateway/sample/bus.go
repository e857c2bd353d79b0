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
	b.visit = newVisit(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
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
		case <-timer.C:
			b.serve(ctx, d)
		}
	}
	b.halt()
	b.close()
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

// attempt opens what is not open, and reads d.
func (b *bus) attempt(d *device) error {
	if b.handle == nil && b.name != "" {
		handle, err := b.s.opts.OpenBus(b.name)
		switch {
		case errors.Is(err, drivers.ErrBus):
			return fmt.Errorf("open %s: %w", b.name, err)
		case err != nil:
			return fmt.Errorf("open %s: %w: %w", b.name, drivers.ErrBus, err)
		}
		b.handle = handle
	}
	if d.sensor == nil {
		b.visit.begin(d.Timeout, d.hang)
		sensor, err := d.Open(b.visit, b.handle)
		b.visit.end()
		if err != nil {
			return d.explain("open", err)
		}
		d.opened(sensor)
	}
	if two, ok := d.sensor.(drivers.Starter); ok && !d.measuring {
		return b.start(d, two)
	}
	d.measuring = false
	b.visit.begin(d.Timeout, d.hang)
	values, err := d.sensor.Read(b.visit)
	b.visit.end()
	if err != nil {
		return d.explain("read", err)
	}
	return d.give(values)
}

// start begins the measurement of a chip that takes a while, and plans when to
// read it.
func (b *bus) start(d *device, two drivers.Starter) error {
	b.visit.begin(d.Timeout, d.hang)
	wait, err := two.Start(b.visit)
	b.visit.end()
	if err != nil {
		return d.explain("start", err)
	}
	d.measuring, d.due, d.next = true, d.next, time.Now().Add(wait)
	return nil
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
