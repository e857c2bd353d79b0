package drivers

import "time"

// A Clock gives the time since some moment. It never goes back.
type Clock func() time.Duration

// A Curve is a physical quantity as a function of a clock.
type Curve func(at time.Duration) float64

// A Chip is a simulated chip at register level: what it answers depends on
// what was written to it since its last reset, and on its clock. One goroutine
// at a time.
type Chip interface {
	// Tx is one transfer, from start to stop condition or while the chip is
	// selected. On I2C: w, then a repeated start, then r. On SPI: both at the
	// same time, with one length. An error is a byte that the chip did not
	// acknowledge.
	Tx(w, r []byte) error
	// Reset is a power cycle: every register goes to its reset state.
	Reset()
}

// A Simulation is what a simulated device knows of the world.
type Simulation struct {
	Clock Clock
	// Powered is when the power came: Clock() for a chip just switched on,
	// earlier for one that has settled.
	Powered time.Duration
	// Curves gives what there is to measure, by the quantities of the
	// driver's table.
	Curves  map[string]Curve
	Address uint16
	Options map[string]any // of the device, defaults filled in
}

// Now gives a quantity as it is now, 0 if there is no curve for it.
func (s Simulation) Now(quantity string) float64 { return s.At(quantity, s.Clock()) }

// At gives a quantity at a moment of the clock, 0 if there is no curve for it.
func (s Simulation) At(quantity string, at time.Duration) float64 {
	if c := s.Curves[quantity]; c != nil {
		return c(at)
	}
	return 0
}

// usual holds a usual value for each unit that sensors have.
var usual = map[string]float64{
	"Cel": 21.5, "%RH": 45, "Pa": 101325, "lx": 320, "V": 1.25, "A": 0.5, "W": 2.5, "Ohm": 1000, "Hz": 50,
	"%EL": 80, "m": 1, "m/s2": 9.8, "/": 1, "count": 7, "1/s": 2, "J": 10, "T": 0.00005,
}

// Usual gives a usual value of the quantity.
func (q Quantity) Usual() float64 {
	if q.Typical != 0 {
		return q.Typical
	}
	return usual[q.Unit]
}
