package sgp40_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sgp40"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, v := range []float64{20000, 30000, 52000} {
		drivertest.Run(t, drivertest.Case{Driver: sgp40.Driver(), Values: map[string]float64{"voc_raw": v}})
	}
}

func open(ctx context.Context, bus i2c.Bus) (drivers.Starter, error) {
	s, err := sgp40.Driver().Open(ctx, drivers.Target{I2C: bus, Address: 0x59})
	if err != nil {
		return nil, err
	}
	return s.(drivers.Starter), nil
}

// visit reads as the sampler does.
func visit(ctx context.Context, s drivers.Starter) ([]drivers.Value, error) {
	wait, err := s.Start(ctx)
	if err != nil {
		return nil, err
	}
	time.Sleep(wait)
	return s.Read(ctx)
}

// What is written is what the datasheet prints (table 9), and 0xbeef has the
// checksum 0x92 (table 7).
func TestPublishedExamples(t *testing.T) {
	for file, doubt := range map[string]bool{"ticks": false, "clipped": true} {
		synctest.Test(t, func(t *testing.T) {
			s, err := open(t.Context(), drivertest.Replay(t, "testdata/"+file+".transcript"))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				vs, err := visit(t.Context(), s)
				if err != nil || len(vs) != 1 || (vs[0].Doubt != "") != doubt || !doubt && vs[0].Value != 0xbeef {
					t.Errorf("%s: %v, %v", file, vs, err)
				}
			}
		})
	}
}

func TestWrongChecksum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := open(t.Context(), drivertest.Replay(t, "testdata/garbled.transcript"))
		if err != nil {
			t.Fatal(err)
		}
		if vs, err := visit(t.Context(), s); err == nil || len(vs) > 0 {
			t.Errorf("%v, %v", vs, err)
		}
	})
	if _, err := open(t.Context(), drivertest.Replay(t, "testdata/another.transcript")); err == nil {
		t.Error("a serial number with wrong checksums was accepted")
	}
}

// The plate was cold when the chip was opened: the first value comes after a
// minute, and is measured then.
func TestNoValueInTheFirstMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := sim.NewBus("sim-1")
		c := sgp40.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Hour,
			Curves: map[string]drivers.Curve{"voc_raw": sim.Steady(30000)}})
		bus.Attach(0x59, c)
		for range 2 {
			s, err := open(t.Context(), bus)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			vs, err := visit(t.Context(), s)
			if err != nil || vs[0].Value < 29950 || time.Since(start) < time.Minute {
				t.Errorf("%v, %v after %v", vs, err, time.Since(start))
			}
			start = time.Now()
			if vs, err := visit(t.Context(), s); err != nil || vs[0].Value < 29950 || time.Since(start) > time.Second {
				t.Errorf("second visit: %v, %v after %v", vs, err, time.Since(start))
			}
			c.Reset() // … and again when the driver saw that the power had failed
			if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) {
				t.Errorf("read a chip that lost its power: %v, %v", vs, err)
			}
		}
	})
}
