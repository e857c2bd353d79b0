package mcp23017

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// mixed are levels of which no two neighbours and no two ports are alike.
func mixed() map[string]float64 {
	levels := map[string]float64{}
	for i, n := range names {
		levels[n] = float64(uint16(0x9635) >> i & 1)
	}
	return levels
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: mixed(), Want: mixed()})
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"pull_up": "all"}, Values: mixed(), Want: mixed()})
	inverted := mixed()
	for _, n := range []string{"a0", "a3", "b7"} {
		inverted[n] = 1 - inverted[n]
	}
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"inverted": "a0 b7 a3", "pull_up": "b0"},
		Values: mixed(), Want: inverted})
}

// visit opens a chip and reads it.
func visit(t *testing.T, c *chip, options map[string]any) ([]drivers.Value, error) {
	t.Helper()
	b := sim.NewBus("sim-1")
	b.Attach(0x20, c)
	all := Driver().Defaults()
	for k, v := range options {
		all[k] = v
	}
	s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x20, Options: all})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

func newChip(levels map[string]float64) *chip {
	curves := map[string]drivers.Curve{}
	for q, v := range levels {
		curves[q] = sim.Steady(v)
	}
	return simulate(drivers.Simulation{Clock: sim.SinceStart(), Curves: curves}).(*chip)
}

// Outputs of somebody else stay as they are, with their latches, pull-ups and
// interrupts; their levels are in doubt.
func TestOutputsStay(t *testing.T) {
	c := newChip(mixed())
	for reg, v := range map[int]byte{0: 0x0f, 1: 0xfe, regPolarity: 0xf1, regPullUp: 0x30, regPullUp + 1: 0x01, 4: 0x5a, 6: 0x11, 8: 0x22,
		regLatches: 0xa0, regLatches + 1: 0x01} {
		c.regs[reg] = v
	}
	vs, err := visit(t, c, map[string]any{"pull_up": "a1 a7 b4"})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vs {
		output := i >= 4 && i <= 8
		if (v.Doubt != "") != output || !output && v.Value != mixed()[v.Quantity] {
			t.Errorf("%+v, output %v, there is %v", v, output, mixed()[v.Quantity])
		}
	}
	want := [registers]byte{0x0f, 0xfe, 0xf0, 0, 0x5a, 0, 0x11, 0, 0x22, 0, 0, 0, 0x32, 0x11, 0, 0, 0, 0, 0, 0, 0xa0, 0x01}
	if c.regs != want {
		t.Errorf("registers are %x, want %x", c.regs, want)
	}
}

// A contact to ground that is open would read low after the power failed.
func TestPullUpsAreLost(t *testing.T) {
	c := newChip(map[string]float64{"a0": 1})
	c.pulled = 1
	b := sim.NewBus("sim-1")
	b.Attach(0x20, c)
	target := drivers.Target{I2C: b, Address: 0x20, Options: map[string]any{"pull_up": "a0", "inverted": ""}}
	s, err := open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 1 {
		t.Fatalf("%v, %v, want 1", vs, err)
	}
	c.Reset()
	if vs, err := s.Read(t.Context()); err == nil {
		t.Errorf("gave %v after the power failed", vs)
	}
	if s, err = open(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 1 || c.regs[regPullUp] != 1 {
		t.Errorf("%v, %v, pull-ups %02x", vs, err, c.regs[regPullUp])
	}
}

// Registers that are elsewhere are noticed whatever the latches hold, and
// nothing is written.
func TestBankAtOpen(t *testing.T) {
	for _, latch := range []byte{0, 0x80, 0xff} {
		c := newChip(mixed())
		c.write(regControl, bank|0x42)
		c.regs[regLatches], c.regs[regLatches+1] = latch, latch
		before := c.regs
		if vs, err := visit(t, c, map[string]any{"pull_up": "all"}); err == nil || !strings.Contains(err.Error(), "BANK") || c.regs != before {
			t.Errorf("latch %02x: %v, %v; registers %x, were %x", latch, vs, err, c.regs, before)
		}
	}
	c := newChip(mixed())
	c.write(regControl, sequential)
	if _, err := visit(t, c, nil); err == nil || !strings.Contains(err.Error(), "SEQOP") {
		t.Errorf("byte mode: %v", err)
	}
	c.write(regControl, 0x42) // of interrupts: no concern
	if _, err := visit(t, c, nil); err != nil {
		t.Errorf("mirrored interrupts: %v", err)
	}
}

func TestNamesOfPins(t *testing.T) {
	for _, option := range []string{"pull_up", "inverted"} {
		if _, err := visit(t, newChip(nil), map[string]any{option: "a8"}); err == nil || !strings.Contains(err.Error(), `"a8"`) {
			t.Errorf("%s: %v", option, err)
		}
	}
}
