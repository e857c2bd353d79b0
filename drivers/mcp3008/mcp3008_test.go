package mcp3008

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: Driver()})
	volts, want := map[string]float64{}, map[string]float64{}
	for i, q := range quantities {
		volts[q.Name] = float64(i) * 0.3
		want[q.Name] = math.Round(volts[q.Name]/3.3*1024) * 3.3 / 1024
	}
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: volts, Want: want})
}

// scripted is a chip that gives the same bytes always.
type scripted [3]byte

func (s scripted) Tx(_, r []byte) error { copy(r, s[:]); return nil }
func (s scripted) Reset()               {}

func visit(t *testing.T, reference float64, c drivers.Chip) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0, c)
	row := Driver()
	conn, err := sim.NewSPI(b).Connect(row.SPI.Speed, row.SPI.Mode, 8)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), drivers.Target{SPI: conn, Options: map[string]any{"reference": reference}})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

// Equation 4-2 of DS21295D: the code is 1024 times the input over VREF.
func TestEquationOfTheDatasheet(t *testing.T) {
	for code, want := range map[int]float64{0: 0, 1: 5.0 / 1024, 512: 2.5, 1022: 5.0 * 1022 / 1024} {
		vs, err := visit(t, 5, scripted{0xff, 0xf8 | byte(code>>8), byte(code)}) // bits before the 0 are undefined
		if err != nil || vs[0].Value != want || vs[7].Doubt != "" {
			t.Errorf("%d: %v, %v, want %v", code, vs, err, want)
		}
	}
	if vs, err := visit(t, 5, scripted{0, 3, 0xff}); err != nil || vs[0].Doubt == "" {
		t.Errorf("1023 is not in doubt: %v, %v", vs, err)
	}
}

func TestNobody(t *testing.T) {
	if vs, err := visit(t, 5, scripted{0xff, 0xff, 0xff}); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a line that nobody drives gave %v, %v", vs, err)
	}
	if _, err := visit(t, math.NaN(), scripted{}); err == nil || !strings.Contains(err.Error(), "in V") {
		t.Errorf("a reference that is no number: %v", err)
	}
}
