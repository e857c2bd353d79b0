package max31855

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) { drivertest.Run(t, drivertest.Case{Driver: Driver()}) }

// word is a chip that sends these bits always.
type word uint32

func (c word) Tx(_, r []byte) error { binary.BigEndian.PutUint32(r, uint32(c)); return nil }
func (c word) Reset()               {}

func visit(t *testing.T, c drivers.Chip) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0, c)
	row := Driver()
	conn, err := sim.NewSPI(b).Connect(row.SPI.Speed, row.SPI.Mode, 8)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), drivers.Target{SPI: conn})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

// The table of ITS-90 for type K (NIST Monograph 175): mV at Cel.
func TestTableOfITS90(t *testing.T) {
	for cel, mv := range map[float64]float64{
		-200: -5.891, -100: -3.554, -50: -1.889, 0: 0, 25: 1.000, 100: 4.096, 200: 8.138, 400: 16.397, 500: 20.644,
		800: 33.275, 1000: 41.276, 1300: 52.410,
	} {
		if got := millivolts(cel); math.Abs(got-mv) > 0.0006 {
			t.Errorf("%v Cel: %v mV, want %v", cel, got, mv)
		}
		if got := celsius(mv); math.Abs(got-cel) > 0.07 {
			t.Errorf("%v mV: %v Cel, want %v", mv, got, cel)
		}
	}
}

// The tables of the datasheet (19-5793 tables 4 and 5), at both ends: what the
// chip says, before it is corrected.
func TestTablesOfTheDatasheet(t *testing.T) {
	for bits, want := range map[uint32]float64{ // table 5, bits 15 to 4
		0x7f0: 127, 0x649: 100.5625, 0x190: 25, 0: 0, 0xfff: -0.0625, 0xff0: -1, 0xec0: -20, 0xc90: -55,
	} {
		vs, err := visit(t, word(0x0190<<16|bits<<4)) // 25 °C, whose four bits to the left are table 4's
		if err != nil || vs[1].Value != want {
			t.Errorf("%03x: %v, %v, want %v", bits, vs, err, want)
		}
	}
	for bits, want := range map[uint32]float64{ // table 4, bits 31 to 18
		0x1900: 1600, 0x0fa0: 1000, 0x0193: 100.75, 0x0064: 25, 0x3fff: -0.25, 0x3ffc: -1, 0x3c18: -250,
	} {
		vs, err := visit(t, word(bits<<18|0x190<<4)) // the cold end is at 25 °C
		if err != nil || vs[0].Value != correct(want, 25) {
			t.Errorf("%04x: %v, %v, want %v", bits, vs, err, correct(want, 25))
		}
		if doubt := want < -200 || want > 1350; (vs[0].Doubt != "") != doubt {
			t.Errorf("%v Cel: %+v, want doubt %v", want, vs[0], doubt)
		}
	}
}

func TestWordsThatAreNoMeasurement(t *testing.T) {
	good := uint32(0x064)<<18 | 0x190<<4
	for name, bits := range map[string]uint32{
		"line low": 0, "line high": 0xffffffff, "bit 17": good | 1<<17, "bit 3": good | 1<<3,
		"fault without a cause": good | fault, "cause without a fault": good | openWire,
		"open": good | fault | openWire, "ground": good | fault | shortGND, "supply": good | fault | shortVCC,
	} {
		vs, err := visit(t, word(bits))
		if err == nil {
			t.Errorf("%s: gave %v", name, vs)
		}
		if absent := name == "line low" || name == "line high"; errors.Is(err, drivers.ErrAbsent) != absent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if vs, err := visit(t, word(good)); err != nil {
		t.Errorf("%v, %v", vs, err)
	}
}
