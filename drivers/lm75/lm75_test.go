package lm75_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/lm75"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		chip       string
		temp, want float64
	}{
		{"lm75", 23.456, 23},
		{"lm75", -5.25, -5.5},
		{"tmp102", 23.456, 23.4375},
		{"tmp102", -40.03, -40.0625},
		{"tmp105", 23.456, 23.4375},
		{"tmp105", -5.25, -5.25},
		{"tmp105", -0.0625, -0.0625},
		{"tmp105", 0, 0},
		{"tmp105", 127.99, 127.9375},
		{"tmp105", -55, -55},
	} {
		t.Run(c.chip, func(t *testing.T) {
			drivertest.Run(t, drivertest.Case{
				Driver:  lm75.Driver(),
				Options: map[string]any{"model": c.chip},
				Want:    map[string]float64{"temperature": c.want},
				Values:  map[string]float64{"temperature": c.temp},
			})
		})
	}
}

// chip makes a simulated one.
func chip(model string, clock drivers.Clock, temp drivers.Curve) drivers.Chip {
	return lm75.Driver().Simulate(drivers.Simulation{
		Clock: clock, Powered: clock(), Curves: map[string]drivers.Curve{"temperature": temp},
		Options: map[string]any{"model": model},
	})
}

func open(bus i2c.Bus, chip string) (drivers.Sensor, error) {
	return lm75.Driver().Open(context.Background(), drivers.Target{
		I2C: bus, Address: 0x48, Options: map[string]any{"model": chip},
	})
}

// As the emulated Pi's TMP105 answers: at reset, and set already.
func TestTranscripts(t *testing.T) {
	for file, want := range map[string]float64{"tmp105-reset": 23.4375, "tmp105-set": -5.25, "lm75-alert": 21.5} {
		t.Run(file, func(t *testing.T) {
			chip, _, _ := strings.Cut(file, "-")
			s, err := open(drivertest.Replay(t, "testdata/"+file+".transcript"), chip)
			if err != nil {
				t.Fatal(err)
			}
			vs, err := s.Read(t.Context())
			if err != nil || len(vs) != 1 || vs[0] != (drivers.Value{Quantity: "temperature", Value: want}) {
				t.Errorf("read %v, %v, want %v", vs, err, want)
			}
		})
	}
}

// Nobody may take the 0 of a chip that never measured for a temperature.
func TestFirstValueAfterPowerUp(t *testing.T) {
	for _, model := range []string{"lm75", "tmp102", "tmp105"} {
		synctest.Test(t, func(t *testing.T) {
			bus := sim.NewBus("sim-1")
			bus.Attach(0x48, chip(model, sim.SinceStart(), sim.Steady(21.5)))
			s, err := open(bus, model)
			if err != nil {
				t.Fatal(err)
			}
			hasty, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if vs, err := s.Read(hasty); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: read %v, %v before the first conversion", model, vs, err)
			}
			if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 21.5 {
				t.Errorf("%s: first value %v, %v", model, vs, err)
			}
		})
	}
}

// A chip told wrongly is found out where the registers show it.
func TestWrongChip(t *testing.T) {
	late := func() time.Duration { return time.Hour }
	for _, c := range []struct{ is, told, says string }{
		{"lm75", "tmp105", `option "model"`},
		{"lm75", "tmp102", `option "model"`},
	} {
		bus := sim.NewBus("sim-1")
		bus.Attach(0x48, chip(c.is, late, sim.Steady(20)))
		if _, err := open(bus, c.told); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s told to be %s: %v", c.is, c.told, err)
		}
	}
}

// A chip that was unplugged within a transfer leaves the wires high.
func TestGarbledAnswer(t *testing.T) {
	s, err := open(drivertest.Replay(t, "testdata/tmp105-garbled.transcript"), "tmp105")
	if err != nil {
		t.Fatal(err)
	}
	if vs, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "garbled") {
		t.Errorf("read %v, %v", vs, err)
	}
}

func TestShutdownIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		temp := 20.0
		bus := sim.NewBus("sim-1")
		bus.Attach(0x48, chip("lm75", sim.SinceStart(), func(time.Duration) float64 { return temp }))
		time.Sleep(time.Second)
		if err := bus.Tx(0x48, []byte{1, 0x01}, nil); err != nil {
			t.Fatal(err)
		}
		temp = 30
		s, err := open(bus, "lm75")
		if err != nil {
			t.Fatal(err)
		}
		if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 30 {
			t.Errorf("a chip found in shutdown gave %v, %v, want 30", vs, err)
		}
	})
}
