package dps310

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
	drivertest.Run(t, drivertest.Case{Driver: Driver()})
	for _, n := range []int64{1, 16, 128} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"oversampling": n},
			Values: map[string]float64{"temperature": -12.5, "pressure": 87654}})
	}
}

// What the kernel's driver makes of the registers that QEMU's chip shows, with
// one sample of each: 24738 m°C and 92.947 kPa. Its remainders overflow 64 bits;
// exactly, it is 92946.311 Pa.
func TestKernel(t *testing.T) {
	s := &sensor{coefficients: parse(example), precision: precisions[0]}
	vs := s.convert(signed([]byte{0x02, 0x69, 0xa6}), signed([]byte{0xfe, 0x2f, 0xee}))
	if cel := vs[0]; math.Trunc(cel.Value*1000) != 24738 || cel.Doubt != "" {
		t.Errorf("temperature %+v, want 24.738", cel)
	}
	if pa := vs[1]; math.Abs(pa.Value-92946.311) > 0.001 || pa.Doubt != "" {
		t.Errorf("pressure %+v, want 92946.311", pa)
	}
}

// The widths and signs (V1.2 section 8).
func TestCoefficients(t *testing.T) {
	got := parse([18]byte{0x80, 0x07, 0xff, 0x80, 0x00, 0x07, 0xff, 0xff, 0x80, 0x00, 0x7f, 0xff, 0xff, 0xfe, 0x00, 0x02, 0x80, 0x01})
	want := coefficients{c0: -2048, c1: 2047, c00: -524288, c10: 524287, c01: -32768, c11: 32767, c20: -2, c21: 2, c30: -32767}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// fixed is a chip whose registers are as they are, beside those written.
type fixed [256]byte

func (f *fixed) Tx(w, r []byte) error {
	if len(w) == 2 {
		f[w[0]] = w[1]
	}
	copy(r, f[w[0]:])
	return nil
}

func (f *fixed) Reset() {}

// qemu is the chip that QEMU shows.
func qemu() fixed {
	f := fixed{0xfe, 0x2f, 0xee, 0x02, 0x69, 0xa6, regMeasure: ready, regID: 0x10, regSource: 0x90, regFuse: fuseSet}
	copy(f[regCoefficients:], example[:])
	return f
}

func visit(f *fixed, options map[string]any, between func()) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x77, f)
	all := Driver().Defaults()
	for k, v := range options {
		all[k] = v
	}
	s, err := open(context.Background(), drivers.Target{I2C: b, Address: 0x77, Options: all})
	if err != nil {
		return nil, err
	}
	if _, err := s.(drivers.Starter).Start(context.Background()); err != nil {
		return nil, err
	}
	between()
	return s.Read(context.Background())
}

// A chip that answers 0xff for its id is refused, unless told otherwise.
func TestOtherID(t *testing.T) {
	f := qemu()
	f[regID] = 0xff
	if vs, err := visit(&f, nil, func() {}); err == nil || !strings.Contains(err.Error(), "another chip") {
		t.Errorf("%v, %v", vs, err)
	}
	vs, err := visit(&f, map[string]any{"accept_id": int64(0xff), "oversampling": int64(1)}, func() {})
	if err != nil || math.Abs(vs[0].Value-24.738) > 0.001 || math.Abs(vs[1].Value-92947) > 1 {
		t.Errorf("%v, %v", vs, err)
	}
}

// Each sign that the bytes are no measurement of now is enough by itself.
func TestSignsThatNothingWasMeasured(t *testing.T) {
	for name, spoil := range map[string]func(f *fixed){
		"":                        func(*fixed) {},
		"temperature not ready":   func(f *fixed) { f[regMeasure] &^= 0x20 },
		"pressure not ready":      func(f *fixed) { f[regMeasure] &^= 0x10 },
		"sensor not ready":        func(f *fixed) { f[regMeasure] &^= 0x40 },
		"coefficients not ready":  func(f *fixed) { f[regMeasure] &^= 0x80 },
		"it does not measure":     func(f *fixed) { f[regMeasure] &^= control },
		"other oversampling":      func(f *fixed) { f[regPressureSet]++ },
		"other temperature":       func(f *fixed) { f[regTemperature] ^= external },
		"results are shifted":     func(f *fixed) { f[regConfig] |= shift },
		"data registers of reset": func(f *fixed) { copy(f[:], make([]byte, 6)) },
	} {
		f := qemu()
		if vs, err := visit(&f, nil, func() { spoil(&f) }); (err == nil) != (name == "") {
			t.Errorf("%q: gave %v, %v", name, vs, err)
		}
	}
	for _, fill := range []byte{0, 0xff} {
		f := qemu()
		for i := range 18 {
			f[regCoefficients+i] = fill
		}
		if vs, err := visit(&f, nil, func() {}); err == nil {
			t.Errorf("coefficients of %02x: %v", fill, vs)
		}
	}
}

// A chip with the fuse that was not set gives the right temperature.
func TestFuse(t *testing.T) {
	for _, fuse := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := simulate(drivers.Simulation{Clock: sim.SinceStart(), Powered: -time.Second,
				Curves: map[string]drivers.Curve{"temperature": sim.Steady(20), "pressure": sim.Steady(1e5)}}).(*chip)
			c.fuse = fuse
			c.reset()
			b := sim.NewBus("sim-1")
			b.Attach(0x77, c)
			s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x77, Options: Driver().Defaults()})
			if err != nil {
				t.Fatal(err)
			}
			wait, err := s.(drivers.Starter).Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait)
			vs, err := s.Read(t.Context())
			if err != nil || math.Abs(vs[0].Value-20) > 0.01 || (c.unlock > 0) != fuse {
				t.Errorf("fuse %v: %v, %v, %d of the sequence", fuse, vs, err, c.unlock)
			}
		})
	}
}

func TestDoubt(t *testing.T) {
	s := &sensor{coefficients: parse(example), precision: precisions[0]}
	for _, c := range []struct {
		t, p  int32
		doubt [2]bool
	}{
		{158118, -118802, [2]bool{}}, {0, -118802, [2]bool{true, true}}, {300000, -118802, [2]bool{true, true}},
		{158118, 500000, [2]bool{false, true}}, {158118, -500000, [2]bool{false, true}},
	} {
		for i, v := range s.convert(c.t, c.p) {
			if (v.Doubt != "") != c.doubt[i] {
				t.Errorf("raw %d %d: %+v, want doubt %v", c.t, c.p, v, c.doubt[i])
			}
		}
	}
}
