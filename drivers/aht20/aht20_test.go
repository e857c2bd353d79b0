package aht20_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/aht20"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

func TestSuite(t *testing.T) {
	for _, v := range []map[string]float64{
		{"temperature": 21.5, "humidity": 45}, {"temperature": -40, "humidity": 1}, {"temperature": 0, "humidity": 99.9},
		{"temperature": -12.34, "humidity": 62.5}, {"temperature": 85, "humidity": 5},
	} {
		drivertest.Run(t, drivertest.Case{Driver: aht20.Driver(), Values: v})
	}
}

func open(ctx context.Context, bus i2c.Bus) (drivers.Starter, error) {
	s, err := aht20.Driver().Open(ctx, drivers.Target{I2C: bus, Address: 0x38})
	if err != nil {
		return nil, err
	}
	return s.(drivers.Starter), nil
}

// visit opens and reads as the sampler does, with what a transcript says.
func visit(t *testing.T, file string) (vs []drivers.Value, err error) {
	synctest.Test(t, func(t *testing.T) {
		var s drivers.Starter
		if s, err = open(t.Context(), drivertest.Replay(t, "testdata/"+file+".transcript")); err != nil {
			return
		}
		wait, failed := s.Start(t.Context())
		if err = failed; err == nil {
			time.Sleep(wait)
			vs, err = s.Read(t.Context())
		}
	})
	return vs, err
}

// Signals and what they stand for, calculated with the formulas of §6.
func TestConversion(t *testing.T) {
	for file, want := range map[string]struct {
		celsius, humidity float64
		doubt             bool
	}{
		"room":  {28.2667, 15.0794, false},
		"reset": {28.2667, 15.0794, false},
		"cold":  {-10, 80, false},
		"hot":   {90, 80, true},
		"icy":   {-45, 80, true},
	} {
		vs, err := visit(t, file)
		if err != nil || len(vs) != 2 || math.Abs(vs[0].Value-want.celsius) > 0.0002 || math.Abs(vs[1].Value-want.humidity) > 0.0002 ||
			(vs[0].Doubt != "") != want.doubt || (vs[1].Doubt != "") != want.doubt {
			t.Errorf("%s: %v, %v, want %v", file, vs, err, want)
		}
	}
}

// Each says something that is no measurement.
func TestNoMeasurement(t *testing.T) {
	for _, file := range []string{"garbled", "busy", "uncalibrated", "zero", "never-calibrated"} {
		if vs, err := visit(t, file); err == nil || len(vs) > 0 {
			t.Errorf("%s: %v, %v", file, vs, err)
		}
	}
}
