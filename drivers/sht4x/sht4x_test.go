package sht4x_test

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
	"github.com/fieldgate/fieldgate/drivers/sht4x"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, v := range []map[string]float64{
		{"temperature": 21.5, "humidity": 45}, {"temperature": -40, "humidity": 1}, {"temperature": 0, "humidity": 100},
		{"temperature": -12.34, "humidity": 99.9}, {"temperature": 125, "humidity": 5},
	} {
		drivertest.Run(t, drivertest.Case{Driver: sht4x.Driver(), Values: v})
	}
}

func open(t *testing.T, bus i2c.Bus) drivers.Starter {
	t.Helper()
	s, err := sht4x.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x44})
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

// Words and what they stand for, calculated with the formulas of §4.6.
func TestConversion(t *testing.T) {
	for file, want := range map[string]struct {
		celsius, humidity float64
		doubt             bool
	}{
		"room":   {25.3792, 31.4056, false},
		"cold":   {-10, 80, false},
		"wet":    {10, 100, false}, // 104 % before it is cropped
		"dry":    {60, 0, false},   // -2 % before it is cropped
		"beyond": {126, 45, true},
		"below":  {-41, 45, true},
		"rail":   {25.3792, 100, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			vs, err := visit(t.Context(), open(t, drivertest.Replay(t, "testdata/"+file+".transcript")))
			if err != nil || len(vs) != 2 || math.Abs(vs[0].Value-want.celsius) > 0.0015 ||
				math.Abs(vs[1].Value-want.humidity) > 0.0015 || (vs[0].Doubt != "") != want.doubt || (vs[1].Doubt != "") != want.doubt {
				t.Errorf("%s: %v, %v, want %v", file, vs, err, want)
			}
		})
	}
}

func TestWrongChecksum(t *testing.T) {
	for _, file := range []string{"garbled-temperature", "garbled-humidity"} {
		synctest.Test(t, func(t *testing.T) {
			vs, err := visit(t.Context(), open(t, drivertest.Replay(t, "testdata/"+file+".transcript")))
			if err == nil || len(vs) > 0 {
				t.Errorf("%s: %v, %v", file, vs, err)
			}
		})
	}
}

func TestAnotherChip(t *testing.T) {
	bus := drivertest.Replay(t, "testdata/another.transcript")
	if _, err := sht4x.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x44}); err == nil {
		t.Error("a serial number with wrong checksums was accepted")
	}
}

// Values that were read once are not given again, and none before its time.
func TestNothingMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := sim.NewBus("sim-1")
		bus.Attach(0x44, sht4x.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Hour}))
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
