// Package drivertest is the suite that every sensor driver must pass, and
// recordings of what happens on a bus.
package drivertest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// A Case is a driver with something to read from. What is simulated, the
// driver's row says.
type Case struct {
	Driver  drivers.Driver
	Options map[string]any     // besides the defaults
	Values  map[string]float64 // what there is to measure, by quantity; others: what is usual
	Want    map[string]float64 // exactly what a visit gives, by quantity; nil: nearly what there is to measure
	// Target is for drivers whose row simulates nothing. Options are filled
	// in by the suite.
	Target func() drivers.Target
	// Break makes the next visit of the device in that target fail with err;
	// nil: on I2C and SPI the suite does it, elsewhere it is not tried.
	Break func(t drivers.Target, err error)

	root string // holds the Files of the row
}

// A check tries one thing, in a bubble of testing/synctest.
type check struct {
	name string
	on   []drivers.BusKind // only for these; nil: for all
	try  func(Case) error
}

var (
	i2cOnly = []drivers.BusKind{drivers.BusI2C}
	spiOnly = []drivers.BusKind{drivers.BusSPI}
	wired   = []drivers.BusKind{drivers.BusI2C, drivers.BusSPI}
)

var checks = []check{
	{"Table", nil, checkTable},
	{"Values", nil, checkValues},
	{"Halt", nil, checkHalt},
	{"FailedVisit", nil, checkFailedVisit},
	{"ContextDone", nil, checkContextDone},
	{"AbsentAtOpen", i2cOnly, checkAbsentAtOpen},
	{"MISOStuckHigh", spiOnly, checkMISO(0xff)},
	{"MISOStuckLow", spiOnly, checkMISO(0)},
	{"FaultAtEachTransfer", wired, checkFaultAtEachTransfer},
	{"LateAnswer", wired, checkLateAnswer},
	{"PowerLoss", wired, checkPowerLoss},
	{"BrownOut", wired, checkBrownOut},
	{"FlippedBit", wired, checkFlippedBit},
	{"Lies", wired, checkLies},
}

// optional are the checks that a driver's row may list as Blind: no driver can
// pass them with that chip.
var optional = []string{"MISOStuckHigh", "MISOStuckLow", "BrownOut", "FlippedBit"}

// Run tries a driver in every way that it must stand.
func Run(t *testing.T, c Case) {
	if c.Driver.Files != nil {
		c.root = Tree(t, c.Driver.Files)
	}
	for _, k := range checks {
		if k.concerns(c.Driver) {
			t.Run(k.name, func(t *testing.T) { k.run(t, c) })
		}
	}
	if slices.Contains(wired, c.Driver.Bus) {
		t.Run("Allocations", func(t *testing.T) {
			if err := checkAllocations(c); err != nil {
				t.Error(err)
			}
		})
	}
}

func (k check) concerns(d drivers.Driver) bool { return k.on == nil || slices.Contains(k.on, d.Bus) }

func (k check) run(t *testing.T, c Case) {
	if slices.Contains(c.Driver.Blind, k.name) {
		t.Skip("the bytes of the chip cannot show it, says the table")
	}
	synctest.Test(t, func(t *testing.T) {
		if err := k.try(c); err != nil {
			t.Error(err)
		}
	})
}

// bench is a case on the table: target and, for I2C and SPI, wires, chip and
// recorder.
type bench struct {
	Case
	target drivers.Target
	bus    *sim.Bus
	chip   drivers.Chip
	port   *sim.SPI
	tape   *Recorder
	truth  drivers.Simulation
	tally  Tally
	waited time.Duration // between Start and Read of the last visit, as the driver asked for
}

func (c Case) set() *bench {
	b := &bench{Case: c}
	options := c.Driver.Defaults()
	maps.Copy(options, c.Options)
	curves := sim.Usual(c.Driver.Quantities)
	for q, v := range c.Values {
		curves[q] = sim.Steady(v)
	}
	b.truth = drivers.Simulation{Clock: sim.SinceStart(), Curves: curves, Address: c.Driver.Address, Options: options}
	switch {
	case c.Target != nil:
		b.target = c.Target()
	case c.Driver.Bus == drivers.BusI2C, c.Driver.Bus == drivers.BusSPI:
		b.wire()
	case c.Driver.Bus == drivers.BusGPIO:
		b.target.Pin = sim.NewPin("GPIO17", func() gpio.Level { return c.Driver.SimulateLine(b.truth) })
	default:
		b.target.SysRoot = cmp.Or(c.root, "/")
	}
	b.target.Options = options
	return b
}

// wire joins the chip to simulated wires, with a recorder between.
func (b *bench) wire() {
	b.bus = sim.NewBus("sim-1")
	b.chip = b.Driver.Simulate(b.truth)
	b.bus.Attach(b.Driver.Address, b.chip)
	b.tape = Record(b.bus)
	if b.Driver.Bus == drivers.BusI2C {
		b.target = drivers.Target{I2C: b.tape, Address: b.Driver.Address}
		return
	}
	b.port = sim.NewSPI(b.tape)
	b.target.SPI, _ = b.port.Connect(b.Driver.SPI.Speed, b.Driver.SPI.Mode, 8) // checkTable tells what is wrong
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

// read makes one visit, as the sampler does.
func (b *bench) read(s drivers.Sensor) ([]drivers.Value, error) {
	if two, ok := s.(drivers.Starter); ok {
		if err := b.start(two); err != nil {
			return nil, err
		}
	}
	ctx, cancel := b.visitTime()
	defer cancel()
	return s.Read(ctx)
}

func (b *bench) start(s drivers.Starter) error {
	ctx, cancel := b.visitTime()
	defer cancel()
	var err error
	if b.waited, err = s.Start(ctx); err != nil {
		b.waited = 0
		return err
	}
	time.Sleep(b.waited)
	return nil
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
	if err := b.wantTrue(vs); err != nil {
		return err
	}
	if b.Want != nil && !maps.Equal(got, b.Want) {
		return fmt.Errorf("a visit gave %v, want %v", got, b.Want)
	}
	for _, v := range vs {
		if v.Doubt != "" {
			return fmt.Errorf("%s of a healthy device is in doubt: %s", v.Quantity, v.Doubt)
		}
	}
	return b.wantListed(s, got)
}

// wantTrue fails if a value that nobody doubts is not what there is to
// measure.
func (b *bench) wantTrue(vs []drivers.Value) error {
	for _, v := range vs {
		want, known := b.Want[v.Quantity], b.Want != nil
		near := 0.0
		if i := b.quantity(v.Quantity); !known && i >= 0 && b.chip != nil {
			want, known = b.truth.Now(v.Quantity), true
			near = max(math.Abs(want)/50, coarse[b.Driver.Quantities[i].Unit])
		}
		if known && v.Doubt == "" && math.Abs(v.Value-want) > near {
			return fmt.Errorf("%s is %v and nobody doubts it, but %v is true", v.Quantity, v.Value, want)
		}
	}
	return nil
}

// coarse is how far a value may be from the truth, where a fiftieth of it says
// little.
var coarse = map[string]float64{"Cel": 0.5}

func (b *bench) quantity(name string) int {
	return slices.IndexFunc(b.Driver.Quantities, func(q drivers.Quantity) bool { return q.Name == name })
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
