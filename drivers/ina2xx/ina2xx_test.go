package ina2xx

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, d := range []drivers.Driver{INA219(), INA226(), INA260()} {
		t.Run(d.Name, func(t *testing.T) { drivertest.Run(t, drivertest.Case{Driver: d}) })
	}
}

// The examples of the datasheets: 20 mV across 2 mOhm and 11.98 V are 10 A and
// 119.8 W (SBOS448 table 8, SBOS547 table 2).
func TestExamplesOfTheDatasheets(t *testing.T) {
	for _, c := range []struct {
		model       *model
		across      int16
		bus         uint16
		volts, amps float64
	}{
		{ina219, 2000, 0x5d98, 11.98, 10},
		{ina226, 8000, 9584, 11.98, 10},
		{ina219, -2000, 0x5d98, 11.98, -10},
		{ina260, 8000, 9584, 11.98, 10}, // 8000 steps of 1.25 mA (SBOS656 7.6.2)
	} {
		s := &sensor{model: c.model, shunt: 0.002}
		if c.model.inside {
			s.shunt = 1
		}
		vs := s.convert(c.across, c.bus>>c.model.busShift)
		for i, want := range []float64{c.volts, c.amps, c.volts * c.amps} {
			if math.Abs(vs[i].Value-want) > 1e-9 || vs[i].Doubt != "" {
				t.Errorf("%s: %+v, want %v", c.model.title, vs[i], want)
			}
		}
	}
}

// The simulated chips calculate current and power as the datasheets do: with
// the calibration of the example.
func TestCalibratedRegisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			model                 *model
			calib, amps, watts    uint16
			shuntWatts, wantVolts float64
		}{
			{ina219, 0x5000, 10000, 5990, 0, 11.98}, // SBOS448 table 8: 2710h, 1766h
			{ina226, 0x0a00, 10000, 4792, 0, 11.98}, // SBOS547 table 2: 2710h, 12b8h
		} {
			clock := sim.SinceStart()
			chip := c.model.simulate(drivers.Simulation{Clock: clock, Powered: clock(), Options: map[string]any{"shunt": 0.002},
				Curves: map[string]drivers.Curve{"voltage": sim.Steady(c.wantVolts), "current": sim.Steady(10)}})
			time.Sleep(time.Second)
			if err := chip.Tx([]byte{regCalib, byte(c.calib >> 8), byte(c.calib)}, nil); err != nil {
				t.Fatal(err)
			}
			for reg, want := range map[byte]uint16{regCurrent: c.amps, regPower: c.watts} {
				var r [2]byte
				if err := chip.Tx([]byte{reg}, r[:]); err != nil || uint16(r[0])<<8|uint16(r[1]) != want {
					t.Errorf("%s: register %d is %x, want %x (%v)", c.model.title, reg, r, want, err)
				}
			}
		}
	})
}

func open(t *testing.T, m *model, c drivers.Chip) (drivers.Sensor, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x40, c)
	return m.open(t.Context(), drivers.Target{I2C: b, Address: 0x40, Options: map[string]any{"shunt": 0.1}})
}

func chipOf(m *model) *chip {
	clock := sim.SinceStart()
	return m.simulate(drivers.Simulation{Clock: clock, Powered: clock() - time.Minute, Options: map[string]any{"shunt": 0.1},
		Curves: map[string]drivers.Curve{"voltage": sim.Steady(12), "current": sim.Steady(-0.5)}}).(*chip)
}

// Another chip of the family is told by its identity.
func TestOtherChips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ driver, chip *model }{{ina226, ina260}, {ina260, ina226}, {ina226, ina219}, {ina260, ina219}} {
			if _, err := open(t, c.driver, chipOf(c.chip)); err == nil || !strings.Contains(err.Error(), "ids are") {
				t.Errorf("an %s for an %s: %v", c.chip.title, c.driver.title, err)
			}
		}
	})
}

// A chip that lost its power between two good visits gives no value: its next
// one would be from other settings, or 0.
func TestPowerFailsBetweenVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, m := range []*model{ina219, ina226, ina260} {
			chip := chipOf(m)
			s, err := open(t, m, chip)
			if err != nil {
				t.Fatal(err)
			}
			for _, wait := range []time.Duration{0, time.Millisecond, m.conversion, time.Second} {
				if _, err := s.(drivers.Starter).Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(m.conversion)
				if vs, err := s.Read(t.Context()); err != nil || vs[1].Value != -0.5 {
					t.Fatalf("%s: %v, %v", m.title, vs, err)
				}
				if _, err := s.(drivers.Starter).Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				chip.Reset()
				time.Sleep(wait)
				if vs, err := s.Read(t.Context()); err == nil {
					t.Errorf("%s: %v after a power failure gave %v", m.title, wait, vs)
				}
			}
		}
	})
}

// A shunt that cannot be is refused.
func TestShunt(t *testing.T) {
	for _, ohm := range []float64{0, -0.1, math.NaN()} {
		_, err := ina226.open(context.Background(), drivers.Target{I2C: sim.NewBus("sim-1"), Options: map[string]any{"shunt": ohm}})
		if err == nil || !strings.Contains(err.Error(), "Ohm") {
			t.Errorf("shunt = %v: %v", ohm, err)
		}
	}
}

// What is clipped or beyond the chip's range is in doubt, and so is the power.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		model          *model
		across         int16
		bus            uint16
		volts, amps, w bool
	}{
		{ina219, 31999, 3000, false, false, false},
		{ina219, 32000, 3000, false, true, true},
		{ina219, -32000, 3000, false, true, true},
		{ina219, 0, 6501, true, false, true}, // 26.004 V
		{ina226, math.MaxInt16, 3000, false, true, true},
		{ina226, math.MinInt16, 3000, false, true, true},
		{ina260, 0, 28801, true, false, true}, // 36.00125 V
	} {
		s := &sensor{model: c.model, shunt: 0.1}
		vs := s.convert(c.across, c.bus)
		for i, want := range []bool{c.volts, c.amps, c.w} {
			if (vs[i].Doubt != "") != want {
				t.Errorf("%s %d %d: %+v, want doubt %v", c.model.title, c.across, c.bus, vs[i], want)
			}
		}
	}
}

// highBit is a chip whose bus voltage has the bit that no chip sets.
type highBit struct{ drivers.Chip }

func (c highBit) Tx(w, r []byte) error {
	err := c.Chip.Tx(w, r)
	if len(w) == 1 && w[0] == regBus {
		r[0] |= 0x80
	}
	return err
}

func TestBitThatIsAlwaysZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := open(t, ina226, highBit{chipOf(ina226)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if vs, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "garbled") {
			t.Errorf("gave %v, %v", vs, err)
		}
	})
}
