// Package drivertest is the suite that every sensor driver must pass, and
// recordings of what happens on a bus.
package drivertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// A Case is a driver with something to read from.
type Case struct {
	Driver  drivers.Driver
	Options map[string]any     // besides the defaults
	Want    map[string]float64 // what a visit gives, by quantity; nil: any one value
	// Chip is for drivers on I2C: one that was just powered up.
	Chip func(sim.Clock) sim.Chip
	// Target is for all others. Options are filled in by the suite.
	Target func() drivers.Target
	// Break makes the next visit of the device in that target fail with err;
	// nil: on I2C the suite does it, elsewhere it is not tried.
	Break func(t drivers.Target, err error)
}

// A check tries one thing, in a bubble of testing/synctest.
type check struct {
	name string
	bus  drivers.BusKind // only for these; "any" for all
	try  func(Case) error
}

const anyBus drivers.BusKind = "any"

var checks = []check{
	{"Table", anyBus, checkTable},
	{"Values", anyBus, checkValues},
	{"Halt", anyBus, checkHalt},
	{"FailedVisit", anyBus, checkFailedVisit},
	{"ContextDone", anyBus, checkContextDone},
	{"AbsentAtOpen", drivers.BusI2C, checkAbsentAtOpen},
	{"FaultAtEachTransfer", drivers.BusI2C, checkFaultAtEachTransfer},
	{"LateAnswer", drivers.BusI2C, checkLateAnswer},
	{"PowerLoss", drivers.BusI2C, checkPowerLoss},
}

// Run tries a driver in every way that it must stand.
func Run(t *testing.T, c Case) {
	for _, k := range checks {
		if k.bus == anyBus || k.bus == c.Driver.Bus {
			t.Run(k.name, func(t *testing.T) { k.run(t, c) })
		}
	}
}

func (k check) run(t *testing.T, c Case) {
	synctest.Test(t, func(t *testing.T) {
		if err := k.try(c); err != nil {
			t.Error(err)
		}
	})
}

// bench is a case on the table: target and, for I2C, bus and recorder.
type bench struct {
	Case
	target drivers.Target
	bus    *sim.Bus
	tape   *Recorder
}

func (c Case) set() *bench {
	b := &bench{Case: c}
	if c.Driver.Bus == drivers.BusI2C {
		clock := sim.SinceStart()
		b.bus = sim.NewBus("sim-1")
		b.bus.Attach(c.Driver.Address, c.Chip(clock))
		b.tape = Record(b.bus)
		b.target = drivers.Target{I2C: b.tape, Address: c.Driver.Address}
	} else {
		b.target = c.Target()
	}
	b.target.Options = c.Driver.Defaults()
	maps.Copy(b.target.Options, c.Options)
	return b
}

// visitTime is the context of one visit, as the sampler makes it.
func (b *bench) visitTime() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), b.Driver.Timeout)
}

func (b *bench) open() (drivers.Sensor, error) {
	ctx, cancel := b.visitTime()
	defer cancel()
	return b.Driver.Open(ctx, b.target)
}

func (b *bench) read(s drivers.Sensor) ([]drivers.Value, error) {
	ctx, cancel := b.visitTime()
	defer cancel()
	return s.Read(ctx)
}

// openWarm opens the device long after it was powered up, and reads it once.
func (b *bench) openWarm() (drivers.Sensor, error) {
	time.Sleep(10 * time.Second)
	s, err := b.open()
	if err != nil {
		return nil, fmt.Errorf("open a healthy device: %w", err)
	}
	return s, b.wantGood(s)
}

// wantGood reads and compares.
func (b *bench) wantGood(s drivers.Sensor) error {
	vs, err := b.read(s)
	if err != nil {
		return fmt.Errorf("read a healthy device: %w", err)
	}
	got := make(map[string]float64, len(vs))
	for _, v := range vs {
		got[v.Quantity] = v.Value
	}
	if len(got) != len(vs) || len(vs) == 0 {
		return fmt.Errorf("a visit gave %v: nothing, or a quantity twice", vs)
	}
	if b.Want != nil && !maps.Equal(got, b.Want) {
		return fmt.Errorf("a visit gave %v, want %v", got, b.Want)
	}
	return b.wantListed(s, got)
}

// wantListed fails if a value's quantity is not in the table, or not in the
// sensor's own list if it has one.
func (b *bench) wantListed(s drivers.Sensor, got map[string]float64) error {
	listed := b.Driver.Quantities
	if l, ok := s.(drivers.Lister); ok && listed == nil {
		if listed = l.Quantities(); len(listed) > b.Driver.MostQuantities {
			return fmt.Errorf("%d quantities, the table says at most %d", len(listed), b.Driver.MostQuantities)
		}
	}
	if err := validQuantities(listed); err != nil {
		return err
	}
	for name := range got {
		if !slices.ContainsFunc(listed, func(q drivers.Quantity) bool { return q.Name == name }) {
			return fmt.Errorf("a visit gave %q, which nobody announced", name)
		}
	}
	return nil
}
