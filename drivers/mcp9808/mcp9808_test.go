package mcp9808

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for temp, want := range map[float64]float64{21.5: 21.5, -5.25: -5.25, -0.01: -0.0625, 0: 0, 125: 125, -40: -40, 99.999: 99.9375} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"temperature": temp},
			Want: map[string]float64{"temperature": want}})
	}
}

// fixed is a chip with registers that stay, beside the configuration.
type fixed map[byte]uint16

func (f fixed) Tx(w, r []byte) error {
	if len(w) == 3 {
		f[w[0]] = uint16(w[1])<<8 | uint16(w[2])
	}
	for i := range r {
		r[i] = byte(f[w[0]] >> (8 - 8*i))
	}
	return nil
}

func (f fixed) Reset() {}

func visit(t *testing.T, c drivers.Chip) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x18, c)
	s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x18})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

// The flags of the alerts are no part of the temperature; the sign is (DS25095A
// equation 5-1 and its example, which is 25.25 °C for c194).
func TestTemperatureRegister(t *testing.T) {
	for raw, want := range map[uint16]float64{
		0xc194: 25.25, 0x0194: 25.25, 0xe194: 25.25, 0x1ff0: -1, 0x3fff: -0.0625, 0x1d80: -40, 0x07d0: 125, 0x9ff0: -1,
	} {
		vs, err := visit(t, fixed{regMaker: maker, regDevice: 0x0400, regAmbient: raw})
		if err != nil || vs[0].Value != want || vs[0].Doubt != "" {
			t.Errorf("%04x: %v, %v, want %v", raw, vs, err, want)
		}
	}
	for _, raw := range []uint16{0x07d1, 0x1d7f, 0x0fff, 0x1000} {
		if vs, err := visit(t, fixed{regMaker: maker, regDevice: 0x0400, regAmbient: raw}); err != nil || vs[0].Doubt == "" {
			t.Errorf("%04x is beyond the range, and nobody doubts it: %v, %v", raw, vs, err)
		}
	}
}

func TestOtherChips(t *testing.T) {
	for _, ids := range [][2]uint16{{0, 0}, {0xffff, 0xffff}, {0x0054, 0x0500}, {0x104a, 0x0400}} {
		if _, err := visit(t, fixed{regMaker: ids[0], regDevice: ids[1]}); err == nil || !strings.Contains(err.Error(), "another chip") {
			t.Errorf("ids %04x: %v", ids, err)
		}
	}
	if _, err := visit(t, fixed{regMaker: maker, regDevice: 0x0401, regAmbient: 1}); err != nil {
		t.Errorf("a later revision: %v", err)
	}
}

// A chip that was shut down is woken, and its old temperature not given.
func TestShutDownChipIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := sim.SinceStart()
		c := simulate(drivers.Simulation{Clock: clock, Powered: clock() - time.Minute,
			Curves: map[string]drivers.Curve{"temperature": sim.Steady(21.5)}}).(*chip)
		c.config, c.frozen = shutdown, 0x0123
		vs, err := visit(t, c)
		if err != nil || vs[0].Value != 21.5 || clock() < firstConversion {
			t.Errorf("%v, %v after %v", vs, err, clock())
		}
	})
}

// Settings of the alerts that somebody made stay.
func TestAlertsStay(t *testing.T) {
	c := fixed{regMaker: maker, regDevice: 0x0400, regAmbient: 1, regConfig: 0x0008}
	if _, err := visit(t, c); err != nil || c[regConfig] != 0x0008 {
		t.Errorf("configuration %04x, %v", c[regConfig], err)
	}
}
