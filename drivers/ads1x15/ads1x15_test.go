package ads1x15

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for _, d := range []drivers.Driver{ADS1115(), ADS1115Pairs(), ADS1015(), ADS1015Pairs()} {
		t.Run(d.Name, func(t *testing.T) { drivertest.Run(t, drivertest.Case{Driver: d}) })
	}
	volts := map[string]float64{"voltage0": 0, "voltage1": 0.0005, "voltage2": 1.25, "voltage3": 4}
	drivertest.Run(t, drivertest.Case{Driver: ADS1115(), Values: volts, Want: map[string]float64{
		"voltage0": 0, "voltage1": 0.0005, "voltage2": 1.25, "voltage3": 4}})
	drivertest.Run(t, drivertest.Case{Driver: ADS1015(), Values: volts, Want: map[string]float64{
		"voltage0": 0, "voltage1": 0, "voltage2": 1.25, "voltage3": 4}})
	drivertest.Run(t, drivertest.Case{Driver: ADS1115Pairs(), Options: map[string]any{"range": 0.256},
		Values: map[string]float64{"voltage0-1": -0.25, "voltage2-3": 0.1},
		Want:   map[string]float64{"voltage0-1": -0.25, "voltage2-3": 0.1}})
}

// fixed is a chip that answers the same conversion and, with what is set in
// it, the configuration that was written.
type fixed struct {
	value, config uint16
	spoil         func(config uint16) uint16
}

func (f *fixed) Tx(w, r []byte) error {
	v := f.value
	if w[0] == regConfig {
		if v = f.config; f.spoil != nil {
			v = f.spoil(v)
		}
		if len(w) == 3 {
			f.config = uint16(w[1])<<8 | uint16(w[2])
		}
	}
	for i := range r {
		r[i] = byte(v >> (8 - 8*i))
	}
	return nil
}

func (f *fixed) Reset() {}

func visit(t *testing.T, m *model, full float64, c drivers.Chip) (vs []drivers.Value, err error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x48, c)
	s, err := m.open(t.Context(), drivers.Target{I2C: b, Address: 0x48, Options: map[string]any{"range": full}})
	if err != nil {
		return nil, err
	}
	if _, err := s.(drivers.Starter).Start(t.Context()); err != nil {
		return nil, err
	}
	time.Sleep(m.conversion)
	return s.Read(t.Context())
}

// The codes of the datasheets (SBAS444D table 3, SBAS473E table 3). The
// highest and the lowest one say only that there is no more to see.
func TestCodesOfTheDatasheets(t *testing.T) {
	for _, c := range []struct {
		model *model
		full  float64
		code  uint16
		want  float64
		doubt bool
	}{
		{ads1115, 2.048, 0x7ffe, 2.048 * 32766 / 32768, false},
		{ads1115, 2.048, 0x7fff, 2.048 * 32767 / 32768, true},
		{ads1115, 2.048, 0x0001, 2.048 / 32768, false},
		{ads1115, 6.144, 0x0000, 0, false},
		{ads1115, 4.096, 0xffff, -4.096 / 32768, false},
		{ads1115, 4.096, 0x8001, -4.096 * 32767 / 32768, false},
		{ads1115, 4.096, 0x8000, -4.096, true},
		{ads1015, 2.048, 0x7fe0, 2.048 * 2046 / 2048, false},
		{ads1015, 2.048, 0x7ff0, 2.048 * 2047 / 2048, true},
		{ads1015, 2.048, 0x0010, 2.048 / 2048, false},
		{ads1015, 2.048, 0xfff0, -2.048 / 2048, false},
		{ads1015, 0.256, 0x8000, -0.256, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			vs, err := visit(t, c.model, c.full, &fixed{value: c.code})
			if err != nil || math.Abs(vs[0].Value-c.want) > 1e-12 || (vs[0].Doubt != "") != c.doubt {
				t.Errorf("%s, %v V, %04x: %v, %v, want %v, in doubt %v", c.model.title, c.full, c.code, vs, err, c.want, c.doubt)
			}
		})
	}
}

// A configuration that is not what was written means that the value is not
// what was asked for.
func TestForeignConfiguration(t *testing.T) {
	for name, spoil := range map[string]func(uint16) uint16{
		"reset":         func(uint16) uint16 { return afterReset },
		"other input":   func(v uint16) uint16 { return v ^ 1<<muxShift },
		"other range":   func(v uint16) uint16 { return v ^ 1<<gainShift },
		"still at work": func(v uint16) uint16 { return v &^ idle },
		"line high":     func(uint16) uint16 { return 0xffff },
		"line low":      func(uint16) uint16 { return 0 },
	} {
		synctest.Test(t, func(t *testing.T) {
			if vs, err := visit(t, ads1115, 4.096, &fixed{value: 1000, spoil: spoil}); err == nil {
				t.Errorf("%s: gave %v", name, vs)
			}
		})
	}
}

// An ADS1115 for an ADS1015 shows itself by its low bits.
func TestLowBits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if vs, err := visit(t, ads1015, 4.096, &fixed{value: 0x1234}); err == nil {
			t.Errorf("gave %v", vs)
		}
	})
}
