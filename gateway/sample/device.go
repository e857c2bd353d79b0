package sample

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// A device is a Device with what its bus knows of it. Its fields are owned by
// the bus's goroutine, but for shown.
type device struct {
	Device
	s *Sampler

	plan     plan
	next     time.Time      // of the next visit, or of its second step
	sensor   drivers.Sensor // nil: to be opened
	channels []*gateway.Channel
	// quantities are those of the channels, in their order.
	quantities []drivers.Quantity
	readings   []gateway.Reading // reused from visit to visit
	backoff    time.Duration     // before the next try; 0: it is well
	code       string            // of the condition that was raised for it; "": none
	hang       func()            // onHang, made once
	// measuring says that the visit that was due at due is half done: a
	// drivers.Starter was started, and is read at next.
	measuring bool
	due       time.Time
	request   *request // for which it measures, out of turn; nil: for none
	doubted   doubt
	supply    supply
	lacked    int // visits without a break in which quantities were missing
	count     count

	shown DeviceState // guarded by s.mu
}

// list makes the channels of the given quantities, beside those that are made.
func (d *device) list(qs []drivers.Quantity) {
	for _, q := range qs {
		if d.channel(len(d.channels), q.Name) < 0 && len(d.channels) < MaxListed {
			d.quantities = append(d.quantities, q)
			d.channels = append(d.channels, &gateway.Channel{Device: d.ID, Quantity: q.Name, Unit: q.Unit})
		}
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.shown.Channels = append([]*gateway.Channel(nil), d.channels...)
}

// channel finds the place of a quantity among the channels, first where it
// stood at the last visit; -1 if it is not there.
func (d *device) channel(guess int, quantity string) int {
	if guess < len(d.channels) && d.channels[guess].Quantity == quantity {
		return guess
	}
	return slices.IndexFunc(d.channels, func(c *gateway.Channel) bool { return c.Quantity == quantity })
}

// opened keeps a sensor that was just opened.
func (d *device) opened(sensor drivers.Sensor) {
	d.sensor = sensor
	if l, ok := sensor.(drivers.Lister); ok {
		d.list(l.Quantities())
	}
	d.resume()
}

// give hands the values of a visit to the sink, as readings of now.
func (d *device) give(values []drivers.Value) error {
	if err := d.note(values); err != nil {
		return err
	}
	d.missed(false)
	if len(d.readings) > 0 {
		d.s.opts.Sink.Take(d.readings)
	}
	d.doubts(values)
	return nil
}

// note makes readings of the values of a visit. They are in d.readings
// until the next one.
func (d *device) note(values []drivers.Value) error {
	now := d.s.opts.Stamp()
	d.readings = d.readings[:0]
	for i, v := range values {
		c := d.channel(i, v.Quantity)
		switch {
		case c < 0 && len(d.channels) >= MaxListed:
			continue // beyond what a sensor may list
		case c < 0:
			return fmt.Errorf("the driver gave %q, which it does not list", v.Quantity)
		case math.IsNaN(v.Value) || math.IsInf(v.Value, 0):
			return fmt.Errorf("the driver gave no number for %s", v.Quantity)
		}
		at := now
		if !v.At.IsZero() {
			at = d.ago(v.At)
		}
		value := d.quantities[c].Round(d.count.sum(v))
		d.readings = append(d.readings, gateway.Reading{Channel: d.channels[c], Value: value, At: at, Quality: d.quality(v)})
	}
	return nil
}

// lacks tells of quantities that the sensor could not give, from the second
// visit on.
func (d *device) lacks() {
	var missing error
	if p, ok := d.sensor.(drivers.Partial); ok {
		missing = p.Missing()
	}
	switch {
	case missing == nil && d.lacked > 0:
		d.lacked = 0
		d.s.opts.Health.Clear("sensor_partial", d.ID, fmt.Sprintf("Device %s gives all of its quantities again.", d.where()))
	case missing != nil:
		if d.lacked++; d.lacked > 1 {
			d.s.opts.Health.Raise("sensor_partial", d.ID, health.Warning, fmt.Sprintf(
				"Device %s does not give all of its quantities: %s. The others are read.", d.where(), missing))
		}
	}
}

// succeeded ends whatever was wrong, and plans the next visit.
func (d *device) succeeded() {
	sick := d.backoff > 0
	d.backoff, d.supply.vain = 0, 0
	d.lacks()
	now := time.Now()
	due := d.next
	if !d.due.IsZero() {
		due, d.due = d.due, time.Time{}
	}
	next, skipped := d.plan.after(due, now)
	d.next = next
	if skipped > 0 && !sick {
		d.s.mu.Lock()
		d.shown.Skipped += skipped
		d.s.mu.Unlock()
	}
	d.show(OK, "")
	if d.code != "" {
		d.s.opts.Health.Clear(d.code, d.ID, fmt.Sprintf("Device %s answers.", d.where()))
		d.code = ""
		d.s.tell(Event{Device: d.ID, Bus: d.Bus, State: SensorOK})
	}
}

// failed leaves the device to be opened anew. One failed visit is no
// condition yet: cables pick up noise.
func (d *device) failed(err error) {
	once := d.backoff == 0 && d.sensor != nil // it was open: nothing was done in vain yet
	d.halt()
	d.backoff = min(max(2*d.backoff, min(d.Interval, time.Second)), maxBackoff)
	d.next = time.Now().Add(d.backoff)
	if !once {
		d.raise(err)
		d.vainly(err)
	}
}

// raise tells what is wrong. While something is, its code stays, so that each
// trouble is told once.
func (d *device) raise(err error) {
	state, code, advice := Failing, "sensor_failing", "Check its wiring and that the driver is the right one"
	if errors.Is(err, drivers.ErrAbsent) || errors.Is(err, drivers.ErrBus) {
		state, code, advice = Absent, "sensor_absent", "Check its power, wiring and address"
	}
	if d.code == "" {
		d.code = code
		d.s.tell(Event{Device: d.ID, Bus: d.Bus, State: string(state), Error: err.Error()})
	}
	d.show(state, err.Error())
	d.s.opts.Health.Raise(d.code, d.ID, health.Error, fmt.Sprintf("Device %s gives no readings: %s. %s; it is tried again every %v at most.",
		d.where(), err, advice, maxBackoff))
}

// explain wraps what a visit failed with. A visit that took too long says so in
// words.
func (d *device) explain(action string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %v: %w", action, d.Timeout, err)
	}
	return fmt.Errorf("%s: %w", action, err)
}

var errHangs = errors.New("the visit does not return")

// onHang is told of a visit that does not return, from another goroutine
// while the bus's is inside the visit, and ends before that leaves it.
func (d *device) onHang() {
	if d.Bus == "" {
		d.raise(errHangs)
		return
	}
	d.raise(fmt.Errorf("%w, and all of %s waits for it", errHangs, d.Bus))
}

// where names the device, its driver and its bus.
func (d *device) where() string {
	if d.Bus == "" {
		return fmt.Sprintf("%s (%s)", d.ID, d.Driver)
	}
	return fmt.Sprintf("%s (%s on %s)", d.ID, d.Driver, d.Bus)
}

func (d *device) show(state State, text string) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.shown.State != state {
		d.shown.State, d.shown.Since = state, time.Now()
	}
	d.shown.Error = text
}

// halt leaves the device inert, as far as it can be reached.
func (d *device) halt() {
	d.measuring, d.due, d.request = false, time.Time{}, nil
	if d.sensor == nil {
		return
	}
	_ = d.sensor.Halt() // it is given up either way; what fails is seen when it is opened again
	d.settle()
	d.sensor = nil
}
