package bh1750_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/bh1750"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		rng string
		lx  float64
	}{
		{"normal", 1}, {"normal", 320}, {"normal", 54000}, {"sunlight", 5}, {"sunlight", 121000}, {"dark", 0.2}, {"dark", 7400},
	} {
		t.Run(c.rng, func(t *testing.T) {
			mt := map[string]float64{"normal": 69, "sunlight": 31, "dark": 2 * 254}[c.rng]
			step := 69 / (1.2 * mt)
			drivertest.Run(t, drivertest.Case{
				Driver:  bh1750.Driver(),
				Options: map[string]any{"range": c.rng},
				Values:  map[string]float64{"illuminance": c.lx},
				Want:    map[string]float64{"illuminance": math.Round(c.lx/step) * step},
			})
		})
	}
}

func open(t *testing.T, bus i2c.Bus, rng string) drivers.Starter {
	t.Helper()
	s, err := bh1750.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x23, Options: map[string]any{"range": rng}})
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

// The technical note calculates 28,067 lx for 0x8390 (page 10), and says that a
// measurement time of 254 and the second mode give 0.11 lx per count (page 11).
func TestPublishedExamples(t *testing.T) {
	for _, c := range []struct {
		file, rng string
		want      float64
		doubt     bool
	}{
		{"example", "normal", 28067, false},
		{"count", "dark", 0.11, false},
		{"clipped", "normal", 54612, true},
		{"zero", "normal", 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			vs, err := visit(t.Context(), open(t, drivertest.Replay(t, "testdata/"+c.file+".transcript"), c.rng))
			if err != nil || len(vs) != 1 || math.Abs(vs[0].Value-c.want) > 0.005+c.want/5e4 || (vs[0].Doubt != "") != c.doubt {
				t.Errorf("%s: %v, %v, want %v", c.file, vs, err, c.want)
			}
		})
	}
}

// What is written is read back: not this chip.
func TestAnotherChip(t *testing.T) {
	bus := drivertest.Replay(t, "testdata/another.transcript")
	_, err := bh1750.Driver().Open(t.Context(), drivers.Target{I2C: bus, Address: 0x23, Options: map[string]any{"range": "normal"}})
	if err == nil {
		t.Error("opened")
	}
}

// room is a simulated chip in light that changes.
func room(lx *float64) (*sim.Bus, drivers.Chip) {
	bus := sim.NewBus("sim-1")
	curve := map[string]drivers.Curve{"illuminance": func(time.Duration) float64 { return *lx }}
	c := bh1750.Driver().Simulate(drivers.Simulation{Clock: sim.SinceStart(), Curves: curve})
	bus.Attach(0x23, c)
	return bus, c
}

// Darkness is doubted once, and then believed; after light it is doubted again.
func TestDarkness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lx := 100.0
		bus, _ := room(&lx)
		s := open(t, bus, "normal")
		for i, c := range []struct {
			lx    float64
			doubt bool
		}{{100, false}, {0, true}, {0, false}, {0, false}, {5, false}, {0, true}, {0, false}} {
			lx = c.lx
			vs, err := visit(t.Context(), s)
			if err != nil || math.Abs(vs[0].Value-c.lx) > 0.5 || (vs[0].Doubt != "") != c.doubt {
				t.Errorf("visit %d: %v, %v, want %v lx, doubt %v", i, vs, err, c.lx, c.doubt)
			}
		}
	})
}

// The power fails in the middle of a measurement: nobody believes the 0.
func TestPowerFailsWhileItMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lx := 100.0
		bus, c := room(&lx)
		s := open(t, bus, "sunlight")
		wait, err := s.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Reset()
		time.Sleep(wait)
		if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 0 || vs[0].Doubt == "" {
			t.Errorf("%v, %v", vs, err)
		}
		if vs, err := visit(t.Context(), s); err != nil || math.Abs(vs[0].Value-100) > 2 || vs[0].Doubt != "" {
			t.Errorf("the visit after it: %v, %v", vs, err)
		}
	})
}
