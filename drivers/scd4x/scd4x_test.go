package scd4x_test

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
	"github.com/fieldgate/fieldgate/drivers/scd4x"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, v := range []map[string]float64{
		{"co2": 0.00045, "temperature": 21.5, "humidity": 45}, {"co2": 0.0004, "temperature": -10, "humidity": 1},
		{"co2": 0.005, "temperature": 60, "humidity": 95}, {"co2": 0.0012, "temperature": -0.5, "humidity": 62.5},
	} {
		drivertest.Run(t, drivertest.Case{Driver: scd4x.Driver(), Values: v})
	}
}

func open(ctx context.Context, bus i2c.Bus) (drivers.Starter, error) {
	s, err := scd4x.Driver().Open(ctx, drivers.Target{I2C: bus, Address: 0x62})
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

func replay(t *testing.T, file string) (vs []drivers.Value, err error) {
	synctest.Test(t, func(t *testing.T) {
		var s drivers.Starter
		if s, err = open(t.Context(), drivertest.Replay(t, "testdata/"+file+".transcript")); err == nil {
			vs, err = visit(t.Context(), s)
		}
	})
	return vs, err
}

// The first is the example of §3.5.2: 500 ppm, 25 °C, 37 %RH.
func TestConversion(t *testing.T) {
	for file, want := range map[string]struct {
		ppm, celsius, humidity float64
		doubtCO2, doubtOthers  bool
	}{
		"example":   {500, 25, 37, false, false},
		"measuring": {500, 25, 37, false, false},
		"cold":      {800, -9.9995, 80, false, false},
		"outside":   {6000, 70, 37, true, true},
		"too-low":   {300, -20, 37, true, true},
	} {
		vs, err := replay(t, file)
		if err != nil || len(vs) != 3 || vs[0].Value != want.ppm/1e6 || math.Abs(vs[1].Value-want.celsius) > 0.003 ||
			math.Abs(vs[2].Value-want.humidity) > 0.003 || (vs[0].Doubt != "") != want.doubtCO2 ||
			(vs[1].Doubt != "") != want.doubtOthers || (vs[2].Doubt != "") != want.doubtOthers {
			t.Errorf("%s: %v, %v, want %v", file, vs, err, want)
		}
	}
}

// Each says something that is no measurement.
func TestNoMeasurement(t *testing.T) {
	for _, file := range []string{"garbled-co2", "garbled-temperature", "garbled-humidity", "garbled-serial", "zero", "never-ready"} {
		if vs, err := replay(t, file); err == nil || len(vs) > 0 {
			t.Errorf("%s: %v, %v", file, vs, err)
		}
	}
}

func room() (*sim.Bus, drivers.Chip) {
	bus := sim.NewBus("sim-1")
	c := scd4x.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Hour,
		Curves: map[string]drivers.Curve{"co2": sim.Steady(0.0008), "temperature": sim.Steady(20), "humidity": sim.Steady(50)}})
	bus.Attach(0x62, c)
	return bus, c
}

// The measurement goes on while nobody reads, and is not stopped by the next
// who does.
func TestMeasuresAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, _ := room()
		for i := range 3 {
			s, err := open(t.Context(), bus)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if vs, err := visit(t.Context(), s); err != nil || vs[0].Value != 0.0008 {
				t.Errorf("opened %d times: %v, %v", i, vs, err)
			}
			if waited := time.Since(start); i > 0 && waited > time.Second {
				t.Errorf("opened %d times: waited %v, although it measured already", i, waited)
			}
			if err := s.Halt(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// Another program left it in the slow mode, or asleep: in the end it measures.
func TestOtherModes(t *testing.T) {
	for name, command := range map[string][]byte{"low power": {0x21, 0xac}, "asleep": {0x36, 0xe0}, "idle": {0x3f, 0x86}} {
		synctest.Test(t, func(t *testing.T) {
			bus, _ := room()
			if err := bus.Tx(0x62, command, nil); err != nil {
				t.Fatal(err)
			}
			tries := 0
			for ; tries < 5; tries++ {
				s, err := open(t.Context(), bus)
				if err == nil {
					_, err = visit(t.Context(), s)
				}
				if err == nil {
					break
				}
				time.Sleep(time.Second)
			}
			if tries > 1 {
				t.Errorf("%s: no measurement after %d tries", name, tries)
			}
		})
	}
}

// The power fails between two visits: nothing is given until it measures anew.
func TestPowerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, c := room()
		s, err := open(t.Context(), bus)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := visit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		c.Reset()
		time.Sleep(10 * time.Second)
		if vs, err := visit(t.Context(), s); err == nil || errors.Is(err, drivers.ErrAbsent) {
			t.Errorf("%v, %v", vs, err)
		}
		if s, err = open(t.Context(), bus); err != nil {
			t.Fatal(err)
		}
		if vs, err := visit(t.Context(), s); err != nil || vs[0].Value != 0.0008 {
			t.Errorf("opened anew: %v, %v", vs, err)
		}
	})
}
