package pcf8574

import (
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func levels(bits byte) map[string]float64 {
	all := map[string]float64{}
	for i, n := range names {
		all[n] = float64(bits >> i & 1)
	}
	return all
}

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		there, want byte
		inverted    string
	}{{0x35, 0x35, ""}, {0x9a, 0x9a, ""}, {0x35, 0x34, "p0"}, {0x9a, 0x65, "all"}} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"inverted": c.inverted},
			Values: levels(c.there), Want: levels(c.want)})
	}
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"all_inputs": false}})
}

func visit(t *testing.T, c *chip, allInputs bool) []drivers.Value {
	t.Helper()
	b := sim.NewBus("sim-1")
	b.Attach(0x20, c)
	s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x20, Options: map[string]any{"all_inputs": allInputs, "inverted": "p7"}})
	if err != nil {
		t.Fatal(err)
	}
	vs, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

// A pin that somebody wrote low is let go if all are inputs. Else nothing is
// written, and what is low is in doubt, inverted or not.
func TestWrittenLow(t *testing.T) {
	world := drivers.Simulation{Clock: sim.SinceStart(),
		Curves: map[string]drivers.Curve{"p0": sim.Steady(1), "p1": sim.Steady(1), "p7": sim.Steady(1)}}
	c := &chip{Simulation: world, latch: 0x7e}
	vs := visit(t, c, false)
	for i, v := range vs {
		if want := i != 1; (v.Doubt != "") != want {
			t.Errorf("%+v, want doubt %v", v, want)
		}
	}
	if c.latch != 0x7e || vs[0].Value != 0 || vs[1].Value != 1 || vs[7].Value != 1 {
		t.Errorf("latch %02x, %+v", c.latch, vs)
	}
	vs = visit(t, c, true)
	for i, v := range vs {
		if want := float64(byte(0x03) >> i & 1); v.Doubt != "" || v.Value != want {
			t.Errorf("%+v, want %v without doubt", v, want)
		}
	}
}
