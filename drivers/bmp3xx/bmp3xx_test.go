package bmp3xx

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: BMP388()})
	drivertest.Run(t, drivertest.Case{Driver: BMP390(), Values: map[string]float64{"temperature": -12.5, "pressure": 87654}})
}

// A real BMP388: calibration and raw values as gobot's test of its driver has
// them, with what it calculates in single precision.
func TestRealChip(t *testing.T) {
	k := parse(example)
	cel := k.temperature(0x7f1c00)
	if math.Abs(cel-22.906143) > 2e-5 {
		t.Errorf("temperature %v, want 22.906143", cel)
	}
	if pa := k.pressure(0x714200, cel); math.Abs(pa-98874.85) > 0.05 {
		t.Errorf("pressure %v, want 98874.85", pa)
	}
}

// Another one, with what a test of elixir-sensors/bmp3xx expects of it in double
// precision.
func TestAnotherRealChip(t *testing.T) {
	k := parse([21]byte{
		0x23, 0x6b, 0x58, 0x49, 0xf6, 0x5c, 0xff, 0xce, 0xf4, 0x23, 0x00, 0xea, 0x63, 0x6e, 0x79, 0xf3, 0xf6, 0xaa, 0x43, 0x12, 0xc4,
	})
	cel := k.temperature(0x85d873)
	if math.Abs(cel-30.499314453874284) > 1e-9 {
		t.Errorf("temperature %v, want 30.499314453874284", cel)
	}
	if pa := k.pressure(0x6d9f97, cel); math.Abs(pa-100876.00634692199) > 1e-6 {
		t.Errorf("pressure %v, want 100876.00634692199", pa)
	}
}

// Signs and widths of the parameters (DS001 3.11.1, 9.1).
func TestCalibration(t *testing.T) {
	var b [21]byte
	for i := range b {
		b[i] = 0x80
	}
	k := parse(b)
	for name, c := range map[string][2]float64{
		"t1": {k.t1, 0x8080 * 256}, "t2": {k.t2, 0x8080 / math.Pow(2, 30)}, "t3": {k.t3, -128 / math.Pow(2, 48)},
		"p1": {k.p1, (-32640. - 16384) / math.Pow(2, 20)}, "p2": {k.p2, (-32640. - 16384) / math.Pow(2, 29)},
		"p3": {k.p3, -128 / math.Pow(2, 32)}, "p4": {k.p4, -128 / math.Pow(2, 37)}, "p5": {k.p5, 0x8080 * 8},
		"p6": {k.p6, 0x8080 / 64.}, "p7": {k.p7, -128 / 256.}, "p8": {k.p8, -128 / 32768.}, "p9": {k.p9, -32640. / math.Pow(2, 48)},
		"p10": {k.p10, -128 / math.Pow(2, 48)}, "p11": {k.p11, -128 / math.Pow(2, 65)},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %v, want %v", name, c[0], c[1])
		}
	}
}

// fixed is a chip whose registers are as they are, whatever is written.
type fixed [256]byte

func (f *fixed) Tx(w, r []byte) error {
	copy(r, f[w[0]:])
	return nil
}

func (f *fixed) Reset() {}

func good() fixed {
	f := fixed{regID: 0x50, regStatus: 0x70, regPower: measureBoth, regSampling: oversample}
	copy(f[regPressure:], []byte{0x00, 0x42, 0x71, 0x00, 0x1c, 0x7f})
	copy(f[regCalibration:], example[:])
	return f
}

func visit(f fixed) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x77, &f)
	s, err := bmp388.open(context.Background(), drivers.Target{I2C: b, Address: 0x77})
	if err != nil {
		return nil, err
	}
	return s.Read(context.Background())
}

// Each sign that the bytes are no measurement of now is enough by itself.
func TestSignsThatNothingWasMeasured(t *testing.T) {
	for name, spoil := range map[string]func(*fixed){
		"":                                 func(*fixed) {},
		"power came":                       func(f *fixed) { f[regEvent] = 1 },
		"fatal error":                      func(f *fixed) { f[regErrors] = 1 },
		"command error":                    func(f *fixed) { f[regErrors] = 2 },
		"configuration error":              func(f *fixed) { f[regErrors] = 4 },
		"pressure not ready":               func(f *fixed) { f[regStatus] = 0x50 },
		"temperature not ready":            func(f *fixed) { f[regStatus] = 0x30 },
		"still measuring":                  func(f *fixed) { f[regPower] |= modeForced },
		"temperature off":                  func(f *fixed) { f[regPower] = 1 },
		"other oversampling":               func(f *fixed) { f[regSampling] = 0x0a },
		"filter":                           func(f *fixed) { f[regFilter] = 2 },
		"no pressure":                      func(f *fixed) { copy(f[regPressure:], []byte{0, 0, 0x80}) },
		"no temperature":                   func(f *fixed) { copy(f[regTemperature:], []byte{0, 0, 0x80}) },
		"calibration is empty":             func(f *fixed) { copy(f[regCalibration:], make([]byte, 21)) },
		"calibration of pressure is empty": func(f *fixed) { copy(f[regCalibration+11:], []byte{0xff, 0xff}) },
	} {
		f := good()
		spoil(&f)
		if vs, err := visit(f); (err == nil) != (name == "") {
			t.Errorf("%q: gave %v, %v", name, vs, err)
		}
	}
}

func TestOtherChips(t *testing.T) {
	for id, want := range map[byte]string{0x60: "there is a BMP390", 0x58: "another chip", 0: "another chip", 0xff: "another chip"} {
		f := good()
		f[regID] = id
		if _, err := visit(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("id 0x%02x: %v", id, err)
		}
	}
}

// Outside of what the chip is specified for, a value is in doubt.
func TestDoubt(t *testing.T) {
	s := &sensor{model: bmp388, calibration: parse(example)}
	for _, c := range []struct {
		t, p  uint32
		doubt [2]bool
	}{
		{0x7f1c00, 0x714200, [2]bool{}},
		{0x400000, 0x714200, [2]bool{true, true}},
		{0xc00000, 0x714200, [2]bool{true, true}},
		{0x7f1c00, 0x000001, [2]bool{false, true}},
		{0x7f1c00, 0xffffff, [2]bool{false, true}},
	} {
		for i, v := range s.convert(c.t, c.p) {
			if (v.Doubt != "") != c.doubt[i] {
				t.Errorf("raw %06x %06x: %+v, want doubt %v", c.t, c.p, v, c.doubt[i])
			}
		}
	}
}
