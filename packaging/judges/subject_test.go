package judges

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// A subject is a simulated chip of this project, and the driver for it. Foreign
// drivers read the chip through its bus.
type subject struct {
	t      *testing.T
	driver drivers.Driver
	target drivers.Target
	bus    *sim.Bus // a chip on SPI is at its address 0
	spi    *sim.SPI // of chips on SPI
	values map[string]float64
	sensor drivers.Sensor
}

// newSubject puts the driver's chip at its own address on a bus, settled long
// ago.
func newSubject(t *testing.T, driver string, options map[string]any) *subject {
	t.Helper()
	s := &subject{t: t, values: map[string]float64{}}
	for _, d := range builtin.Drivers() {
		if d.Name == driver {
			s.driver = d
		}
	}
	if s.driver.Simulate == nil {
		t.Fatalf("no driver %q with a simulated chip", driver)
	}
	s.target = drivers.Target{Address: s.driver.Address, Options: s.driver.Defaults()}
	maps.Copy(s.target.Options, options)
	world := drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Minute, Curves: map[string]drivers.Curve{},
		Address: s.driver.Address, Options: s.target.Options}
	for _, q := range s.driver.Quantities {
		s.values[q.Name] = q.Usual()
		world.Curves[q.Name] = func(time.Duration) float64 { return s.values[q.Name] }
	}
	chip := s.driver.Simulate(world)
	s.bus = sim.NewBus("sim-1")
	switch s.driver.Bus {
	case drivers.BusI2C:
		s.bus.Attach(s.driver.Address, chip)
		s.target.I2C = s.bus
	case drivers.BusSPI:
		s.bus.Attach(0, chip)
		s.spi = sim.NewSPI(s.bus)
		var err error
		if s.target.SPI, err = s.spi.Connect(s.driver.SPI.Speed, s.driver.SPI.Mode, 8); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// set makes the world around the chip have this value, in the unit of the
// driver's table.
func (s *subject) set(quantity string, v float64) { s.values[quantity] = v }

// visit reads the chip with the driver of this project, as the sampler does.
func (s *subject) visit() map[string]drivers.Value {
	s.t.Helper()
	vs, err := s.try()
	if err != nil { // the foreign driver may have changed the settings
		s.sensor = nil
		vs, err = s.try()
	}
	if err != nil {
		s.t.Fatalf("%s: %v", s.driver.Name, err)
	}
	got := map[string]drivers.Value{}
	for _, v := range vs {
		got[v.Quantity] = v
	}
	return got
}

// try is a visit that may fail.
func (s *subject) try() ([]drivers.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.driver.Timeout)
	defer cancel()
	if s.sensor == nil {
		var err error
		if s.sensor, err = s.driver.Open(ctx, s.target); err != nil {
			return nil, err
		}
	}
	if starter, ok := s.sensor.(drivers.Starter); ok {
		wait, err := starter.Start(ctx)
		if err != nil {
			return nil, err
		}
		time.Sleep(wait)
	}
	return s.sensor.Read(ctx)
}

// agree sets the quantity to each value, and compares what the foreign driver
// and the one of this project read. They may differ by tolerance, from each
// other and from the value, for the resolution of the chip.
func (s *subject) agree(quantity string, tolerance float64, values []float64, foreign func() (float64, error)) {
	s.t.Helper()
	for _, v := range values {
		s.set(quantity, v)
		ours := s.visit()[quantity]
		theirs, err := foreign()
		switch {
		case err != nil:
			s.t.Errorf("%s = %v: the foreign driver says: %v", quantity, v, err)
		case !near(ours.Value, v, tolerance):
			s.t.Errorf("%s = %v: ours reads %v", quantity, v, ours.Value)
		case !near(theirs, ours.Value, tolerance):
			s.t.Errorf("%s = %v: ours reads %v, the foreign driver %v", quantity, v, ours.Value, theirs)
		}
	}
}

func near(a, b, tolerance float64) bool { return a-b <= tolerance && b-a <= tolerance }

// disagree holds a dispute to what it says: at this value the foreign driver
// errs by more than margin, and the one of this project does not.
func (s *subject) disagree(quantity string, margin, value float64, foreign func() (float64, error)) {
	s.t.Helper()
	s.set(quantity, value)
	ours := s.visit()[quantity]
	theirs, err := foreign()
	if err != nil || !near(ours.Value, value, margin) || near(theirs, value, margin) {
		s.t.Errorf("%s = %v: ours reads %v, the foreign driver %v, %v: where is the dispute?", quantity, value, ours.Value, theirs, err)
	}
}
