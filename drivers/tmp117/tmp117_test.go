package tmp117

import (
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func TestSuite(t *testing.T) {
	for temp, want := range map[float64]float64{21.5: 21.5, -5.25: -5.25, -0.001: -0.0078125, 0: 0, 150: 150, -55: -55} {
		drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"temperature": temp},
			Want: map[string]float64{"temperature": want}})
	}
}

// fixed is a chip with registers that stay.
type fixed map[byte]uint16

func (f fixed) Tx(w, r []byte) error {
	for i := range r {
		r[i] = byte(f[w[0]] >> (8 - 8*i))
	}
	return nil
}

func (f fixed) Reset() {}

func visit(t *testing.T, c drivers.Chip) ([]drivers.Value, error) {
	b := sim.NewBus("sim-1")
	b.Attach(0x48, c)
	s, err := open(t.Context(), drivers.Target{I2C: b, Address: 0x48})
	if err != nil {
		return nil, err
	}
	return s.Read(t.Context())
}

// The table of the datasheet (SNOSD82 table 7-1).
func TestTableOfTheDatasheet(t *testing.T) {
	for raw, want := range map[uint16]float64{
		0xf380: -25, 0xfff0: -0.125, 0xffff: -0.0078125, 0x0000: 0, 0x0001: 0.0078125, 0x0010: 0.125, 0x0080: 1,
		0x0c80: 25, 0x3200: 100,
	} {
		vs, err := visit(t, fixed{regID: 0x1117, regConfig: dataReady | sleeping | average8, regTemp: raw})
		if err != nil || vs[0].Value != want || vs[0].Doubt != "" {
			t.Errorf("%04x: %v, %v, want %v", raw, vs, err, want)
		}
	}
	for _, raw := range []uint16{0x7fff, 0x4b01, 0xe47f, 0x8001} { // 255.99, 150.01, -55.01, -255.99
		vs, err := visit(t, fixed{regID: id, regConfig: dataReady | sleeping | average8, regTemp: raw})
		if err != nil || vs[0].Doubt == "" {
			t.Errorf("%04x is beyond the range, and nobody doubts it: %v, %v", raw, vs, err)
		}
	}
}

// Each sign that the register holds no measurement of now is enough by itself.
func TestSignsThatNothingWasMeasured(t *testing.T) {
	for name, c := range map[string]fixed{
		"not ready":         {regID: id, regConfig: sleeping | average8, regTemp: 0x0c80},
		"settings of reset": {regID: id, regConfig: dataReady | 0x0220, regTemp: 0x0c80},
		"one sample":        {regID: id, regConfig: dataReady | sleeping, regTemp: 0x0c80},
		"never measured":    {regID: id, regConfig: dataReady | sleeping | average8, regTemp: never},
		"another chip":      {regID: 0x0116, regConfig: dataReady | sleeping | average8, regTemp: 0x0c80},
		"all ones":          {regID: 0xffff, regConfig: 0xffff, regTemp: 0xffff},
	} {
		vs, err := visit(t, c)
		if err == nil {
			t.Errorf("%s: gave %v", name, vs)
		}
		if name == "another chip" && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
