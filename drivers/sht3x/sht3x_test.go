package sht3x_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sht3x"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, v := range []map[string]float64{
		{"temperature": 21.5, "humidity": 45}, {"temperature": -40, "humidity": 0}, {"temperature": 0, "humidity": 100},
		{"temperature": -12.34, "humidity": 99.9}, {"temperature": 125, "humidity": 0.1},
	} {
		drivertest.Run(t, drivertest.Case{Driver: sht3x.Driver(), Values: v})
	}
}

func open(t *testing.T, bus i2c.Bus) drivers.Starter {
	t.Helper()
	s, err := sht3x.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x44})
	if err != nil {
		t.Fatal(err)
	}
	return s.(drivers.Starter)
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

// replay gives the values of one visit with what a transcript says.
func replay(t *testing.T, file string) (vs []drivers.Value, err error) {
	synctest.Test(t, func(t *testing.T) { vs, err = visit(t.Context(), open(t, drivertest.Replay(t, "testdata/"+file))) })
	return vs, err
}

// Words and what they stand for, calculated with the formulas of §4.13.
func TestConversion(t *testing.T) {
	for file, want := range map[string][2]float64{"room": {25.8438, 28.3192}, "cold": {-10, 80}, "ends": {124.9985, 100}} {
		vs, err := replay(t, file+".transcript")
		if err != nil || len(vs) != 2 || math.Abs(vs[0].Value-want[0]) > 0.0015 || math.Abs(vs[1].Value-want[1]) > 0.0015 ||
			vs[0].Doubt+vs[1].Doubt != "" {
			t.Errorf("%s: %v, %v, want %v", file, vs, err, want)
		}
	}
}

// The words go from -45 to 130 °C, and the chip is specified from -40 to 125 °C.
func TestBeyondTheRange(t *testing.T) {
	for _, file := range []string{"below", "beyond"} {
		vs, err := replay(t, file+".transcript")
		if err != nil || len(vs) != 2 || vs[0].Doubt == "" || vs[1].Doubt == "" {
			t.Errorf("%s: %v, %v", file, vs, err)
		}
	}
}

func TestWrongChecksum(t *testing.T) {
	for _, file := range []string{"garbled-temperature", "garbled-humidity"} {
		if vs, err := replay(t, file+".transcript"); err == nil || len(vs) > 0 {
			t.Errorf("%s: %v, %v", file, vs, err)
		}
	}
}

// A status with a reserved bit set is not one of this chip.
func TestAnotherChip(t *testing.T) {
	bus := drivertest.Replay(t, "testdata/another.transcript")
	if _, err := sht3x.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x44}); err == nil {
		t.Error("opened")
	}
}

// The heater is switched off, and the values are doubted until the chip is as
// cold as the air again.
func TestHeaterIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := sim.NewBus("sim-1")
		curves := map[string]drivers.Curve{"temperature": sim.Steady(20), "humidity": sim.Steady(50)}
		bus.Attach(0x44, sht3x.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Hour, Curves: curves}))
		s := open(t, bus)
		if err := bus.Tx(0x44, []byte{0x30, 0x6d}, nil); err != nil {
			t.Fatal(err)
		}
		doubts := 0
		for range 100 {
			vs, err := visit(t.Context(), s)
			switch {
			case err != nil:
				t.Fatal(err)
			case vs[0].Doubt != "":
				doubts++
			case math.Abs(vs[0].Value-20) > 0.01 || math.Abs(vs[1].Value-50) > 0.1:
				t.Fatalf("%v after %d doubts, want 20 Cel and 50 %%RH", vs, doubts)
			}
			time.Sleep(time.Second)
		}
		if doubts < 30 || doubts > 70 {
			t.Errorf("%d of 100 visits in doubt, want about a minute", doubts)
		}
	})
}

// Values that were read once are not given again.
func TestNothingMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := sim.NewBus("sim-1")
		bus.Attach(0x44, sht3x.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart()}))
		s := open(t, bus)
		if _, err := visit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) {
			t.Errorf("read twice: %v, %v", vs, err)
		}
		if _, err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) {
			t.Errorf("read at once: %v, %v", vs, err)
		}
	})
}
