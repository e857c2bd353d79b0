package ds3231

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for temp, want := range map[float64]float64{21.6: 21.5, -5.25: -5.25, -0.01: -0.25, 0: 0, 85: 85, -40: -40} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"temperature": temp},
			Want: map[string]float64{"temperature": want}})
	}
}

// memory is a chip with so many registers, that come round to the first.
type memory []byte

func (m memory) Tx(w, r []byte) error {
	for i := range r {
		r[i] = m[(int(w[0])+i)%len(m)]
	}
	return nil
}

func (m memory) Reset() {}

func visit(t *testing.T, c drivers.Chip) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x68, c)
	s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x68})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

// clock gives the registers of a DS3231 with this temperature.
func clock(high, low byte) memory {
	m := make(memory, registers)
	copy(m, []byte{0x56, 0x34, 0x12, 5, 0x27, 0x11, 0x26})
	m[regStatus], m[regTemp], m[regTemp+1] = 0x08, high, low
	return m
}

// The example of the datasheet: 00011001 01b is +25.25 °C. Below zero it is
// two's complement.
func TestTemperatureRegister(t *testing.T) {
	for raw, want := range map[[2]byte]float64{{0x19, 0x40}: 25.25, {0xff, 0xc0}: -0.25, {0xe7, 0x40}: -24.75, {0, 0}: 0} {
		vs, err := visit(t, clock(raw[0], raw[1]))
		if err != nil || vs[0].Value != want || vs[0].Doubt != "" {
			t.Errorf("%x: %v, %v, want %v", raw, vs, err, want)
		}
	}
	for _, high := range []byte{86, 0x7f, 0x80, 0xd7} {
		if vs, err := visit(t, clock(high, 0)); err != nil || vs[0].Doubt == "" {
			t.Errorf("%x is beyond the range, and nobody doubts it: %v, %v", high, vs, err)
		}
	}
	for _, spoil := range []func(memory){
		func(m memory) { m[regTemp+1] |= 1 }, func(m memory) { m[regStatus] |= 0x10 },
	} {
		m := clock(0x19, 0x40)
		spoil(m)
		if vs, err := visit(t, m); err == nil {
			t.Errorf("bits that are always 0 gave %v", vs)
		}
	}
}

// At the same address there may be a DS1307 with 56 bytes of memory, a motion
// sensor, or a line that is stuck.
func TestOtherChips(t *testing.T) {
	ds1307 := make(memory, 64)
	copy(ds1307, clock(0, 0)[:7])
	for name, c := range map[string]memory{
		"a DS1307 with empty memory": ds1307,
		"all zero":                   make(memory, 128),
		"all ones":                   memory(strings.Repeat("\xff", 128)),
	} {
		if vs, err := visit(t, c); err == nil || !strings.Contains(err.Error(), "another chip") {
			t.Errorf("%s gave %v, %v", name, vs, err)
		}
	}
}
