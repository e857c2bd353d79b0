package bmx280

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: BME280()})
	drivertest.Run(t, drivertest.Case{Driver: BMP280()})
}

// The example of the BMP280's datasheet (DS001 3.12): 519888 and 415148 are
// 25.08 Cel and 100653.27 Pa.
func TestExampleOfTheDatasheet(t *testing.T) {
	cel, fine := example.temperature(519888)
	if math.Abs(cel-25.08) > 0.005 || math.Abs(fine-128422) > 1 {
		t.Errorf("temperature %v, fine %v; want 25.08 and 128422", cel, fine)
	}
	// The page calculates in steps that it prints with a few digits: 100653.27 there.
	if pa := example.pressure(415148, 128422); math.Abs(pa-100653.27) > 0.02 {
		t.Errorf("pressure %v, want 100653.27", pa)
	}
}

// The two numbers of 12 bits that share a byte keep their signs.
func TestCalibrationOfHumidity(t *testing.T) {
	c := parse([26]byte{25: 75}, [7]byte{0x6a, 0x01, 0x00, 0xff, 0x2e, 0xff, 0xe2})
	if c.h1 != 75 || c.h2 != 362 || c.h4 != -2 || c.h5 != -14 || c.h6 != -30 {
		t.Errorf("h1 %d h2 %d h4 %d h5 %d h6 %d, want 75 362 -2 -14 -30", c.h1, c.h2, c.h4, c.h5, c.h6)
	}
}

func bus(m *model, values map[string]float64) (*sim.Bus, *chip) {
	curves := map[string]drivers.Curve{}
	for q, v := range values {
		curves[q] = sim.Steady(v)
	}
	clock := sim.SinceStart()
	c := m.simulate(drivers.Simulation{Clock: clock, Powered: clock() - 1e9, Curves: curves}).(*chip)
	b := sim.NewBus("sim-1")
	b.Attach(0x76, c)
	return b, c
}

// The other chip of the family is told by name, all else by its id.
func TestOtherChips(t *testing.T) {
	for _, c := range []struct {
		driver *model
		id     byte
		want   string
	}{
		{bme280, 0x58, `write driver = "bmp280"`}, {bmp280, 0x60, `write driver = "bme280"`},
		{bme280, 0x61, "another chip"}, {bmp280, 0xff, "another chip"}, {bmp280, 0x00, "another chip"},
	} {
		b, chip := bus(c.driver, nil)
		chip.regs[regID] = c.id
		_, err := c.driver.open(context.Background(), drivers.Target{I2C: b, Address: 0x76})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with id 0x%02x: %v, want %q", c.driver.name, c.id, err, c.want)
		}
	}
}

// A calibration that is empty is refused: it would give numbers all the same.
func TestEmptyCalibration(t *testing.T) {
	for _, fill := range []byte{0, 0xff} {
		b, chip := bus(bme280, nil)
		for i := regCalibration; i <= 0xa1; i++ {
			chip.regs[i] = fill
		}
		if _, err := bme280.open(context.Background(), drivers.Target{I2C: b, Address: 0x76}); err == nil {
			t.Errorf("a calibration of %02x was taken", fill)
		}
	}
}

// Outside of what the chip is specified for, a value is in doubt.
func TestDoubt(t *testing.T) {
	s := &sensor{model: bme280, calibration: example}
	for _, c := range []struct {
		t, p, h int32
		doubt   [3]bool
	}{
		{519888, 415148, 30000, [3]bool{}},
		{300000, 415148, 30000, [3]bool{true, false, false}},
		{519888, 900000, 30000, [3]bool{false, true, false}},
		{519888, 1, 30000, [3]bool{false, true, false}},
		{900000, 415148, 30000, [3]bool{true, true, false}},
		{519888, 415148, 0, [3]bool{false, false, true}},
		{519888, 415148, 65535, [3]bool{false, false, true}},
	} {
		for i, v := range s.convert(c.t, c.p, c.h) {
			if (v.Doubt != "") != c.doubt[i] {
				t.Errorf("raw %d %d %d: %+v, want doubt %v", c.t, c.p, c.h, v, c.doubt[i])
			}
		}
	}
}

// A power cut in the middle of a measurement leaves reset values.
func TestPowerFailsInAMeasurement(t *testing.T) {
	b, chip := bus(bme280, map[string]float64{"temperature": 21})
	s, err := bme280.open(context.Background(), drivers.Target{I2C: b, Address: 0x76})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.(drivers.Starter).Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	chip.reset()
	if vs, err := s.Read(context.Background()); err == nil || errors.Is(err, drivers.ErrBus) {
		t.Errorf("gave %v, %v", vs, err)
	}
}

// fixed is a chip whose registers are as they are, whatever is written.
type fixed [256]byte

func (f *fixed) Tx(w, r []byte) error {
	copy(r, f[w[0]:])
	return nil
}

func (f *fixed) Reset() {}

// Each sign that the bytes are no measurement of now is enough by itself.
func TestSignsThatNothingWasMeasured(t *testing.T) {
	good := fixed{regControlHum: times1, regControl: settings, regData: 0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x75, 0x30}
	for name, spoil := range map[string]func(*fixed){
		"":                            func(*fixed) {},
		"measuring":                   func(f *fixed) { f[regStatus] = statusMeasuring },
		"loading the calibration":     func(f *fixed) { f[regStatus] = statusUpdate },
		"settings of temperature":     func(f *fixed) { f[regControl] = times4<<2 | times4<<5 },
		"settings of humidity":        func(f *fixed) { f[regControlHum] = 0 },
		"mode":                        func(f *fixed) { f[regControl] = settings | modeForced },
		"pressure was skipped":        func(f *fixed) { copy(f[regData:], []byte{0x80, 0, 0}) },
		"temperature was skipped":     func(f *fixed) { copy(f[regData+3:], []byte{0x80, 0, 0}) },
		"humidity was skipped":        func(f *fixed) { copy(f[regData+6:], []byte{0x80, 0}) },
		"the line was low, all of it": func(f *fixed) { *f = fixed{} },
	} {
		chip := good
		spoil(&chip)
		b := sim.NewBus("sim-1")
		b.Attach(0x76, &chip)
		s := &sensor{model: bme280, calibration: example}
		s.dev.Bus, s.dev.Addr = b, 0x76
		if vs, err := s.Read(context.Background()); (err == nil) != (name == "") {
			t.Errorf("%q: gave %v, %v", name, vs, err)
		}
	}
}
