package max31865

import (
	"errors"
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
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Options: map[string]any{"nominal": 1000.0, "reference": 4300.0, "wires": int64(3)},
		Values: map[string]float64{"temperature": -40, "resistance": 1000 * ratio(-40)}})
}

// IEC 60751, table 1: Ohm of a Pt100 at Cel.
func TestTableOfIEC60751(t *testing.T) {
	for cel, ohm := range map[float64]float64{
		-200: 18.5201, -100: 60.2558, -50: 80.3063, 0: 100, 25: 109.7347, 100: 138.5055, 250: 194.0981, 400: 247.0920, 850: 390.4811,
	} {
		if got := 100 * ratio(cel); math.Abs(got-ohm) > 0.00006 {
			t.Errorf("%v Cel: %v Ohm, want %v", cel, got, ohm)
		}
		if got := celsius(ohm / 100); math.Abs(got-cel) > 0.0003 {
			t.Errorf("%v Ohm: %v Cel, want %v", ohm, got, cel)
		}
	}
	for cel := -200.0; cel <= 850; cel += 0.37 {
		if got := celsius(ratio(cel)); math.Abs(got-cel) > 1e-6 {
			t.Fatalf("there and back: %v for %v", got, cel)
		}
	}
}

// registers is a chip whose registers stay, beside the configuration.
type registers [8]byte

func (c *registers) Tx(w, r []byte) error {
	copy(r[1:], c[:])
	if w[0] == write {
		c[regConfig] = w[1] &^ (oneShot | clearFault | checkWires)
	}
	return nil
}

func (c *registers) Reset() {}

func open1(t *testing.T, c drivers.Chip, options map[string]any) (drivers.Sensor, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0, c)
	row := Driver()
	conn, err := sim.NewSPI(b).Connect(row.SPI.Speed, row.SPI.Mode, 8)
	if err != nil {
		t.Fatal(err)
	}
	all := row.Defaults()
	for name, v := range options {
		all[name] = v
	}
	return open(t.Context(), drivers.Target{SPI: conn, Options: all})
}

func visit(t *testing.T, c drivers.Chip) ([]drivers.Value, error) {
	s, err := open1(t, c, nil)
	if err != nil {
		return nil, err
	}
	wait, err := s.(drivers.Starter).Start(t.Context())
	if err != nil {
		return nil, err
	}
	time.Sleep(wait)
	return s.Read(t.Context())
}

// The codes of the datasheet (19-6478 table 9): a Pt100 with a reference of
// 400 Ohm. Here the reference is 430, so Ohm are compared.
func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for raw, ohm := range map[uint16]float64{0x1000: 430.0 / 8, 0x2000: 430.0 / 4, 0x3fff: 430.0 * 16383 / 32768} {
			vs, err := visit(t, &registers{regRTD: byte(raw >> 7), regRTD + 1: byte(raw << 1), 3: 0xff, 4: 0xff})
			if err != nil || vs[1].Value != ohm || vs[1].Doubt != "" {
				t.Errorf("%04x: %v, %v, want %v Ohm", raw, vs, err, ohm)
			}
		}
		for _, raw := range []uint16{0x0100, 0x7800} { // 3.4 and 403 Ohm
			if vs, err := visit(t, &registers{regRTD: byte(raw >> 7), regRTD + 1: byte(raw << 1), 3: 0xff}); err != nil || vs[0].Doubt == "" {
				t.Errorf("%04x is beyond the range, and nobody doubts it: %v, %v", raw, vs, err)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, c := range map[string]*registers{
			"broken or not connected": {regRTD: 0x40, regFaults: 0x20, 3: 0xff},
			"moisture":                {regRTD: 0x40, regFaults: 0x04, 3: 0xff},
			"threshold":               {regRTD: 0x40, regFaults: 0x80, 3: 0xff},
			"is faulty":               {regRTD: 0x40, regRTD + 1: 1, 3: 0xff},
			"is 0":                    {3: 0xff, 4: 0xff},
			"above the reference":     {regRTD: 0xff, regRTD + 1: 0xfe, 3: 0xff},
		} {
			if vs, err := visit(t, c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, %v", want, vs, err)
			}
		}
	})
}

// A chip that lost its power between the start and the end of a measurement
// gives no value: the register holds the one of before.
func TestPowerFailsInAMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &registers{regRTD: 0x40, 3: 0xff}
		s, err := open1(t, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.(drivers.Starter).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, config := range []byte{0, filter50Hz, bias, bias | filter50Hz | threeWire} {
			c[regConfig] = config
			if vs, err := s.Read(t.Context()); err == nil {
				t.Errorf("configuration %02x gave %v", config, vs)
			}
		}
	})
}

func TestNobodyAndWrongOptions(t *testing.T) {
	if _, err := open1(t, stuck(0xff), nil); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a line that nobody drives: %v", err)
	}
	if _, err := open1(t, stuck(0), nil); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a line that nobody drives: %v", err)
	}
	for _, ohm := range []float64{0, 100, math.NaN()} {
		if _, err := open1(t, &registers{}, map[string]any{"reference": ohm}); err == nil || !strings.Contains(err.Error(), "Ohm") {
			t.Errorf("reference = %v: %v", ohm, err)
		}
	}
}

// stuck is a line that nobody drives.
type stuck byte

func (c stuck) Tx(_, r []byte) error {
	for i := range r {
		r[i] = byte(c)
	}
	return nil
}

func (c stuck) Reset() {}
