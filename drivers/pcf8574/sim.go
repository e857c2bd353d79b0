package pcf8574

import "github.com/fieldgate/fieldgate/drivers"

// A chip is a simulated PCF8574. It has no interrupt.
type chip struct {
	drivers.Simulation
	latch byte
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s, latch: released} }

// Reset is a power cycle: all pins are high (Rev. 5 8.4).
func (c *chip) Reset() { c.latch = released }

// Tx writes the latch, each byte anew, or reads the pins. A pin is low if the
// latch or somebody outside says so.
func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 {
		c.latch = w[len(w)-1]
	}
	pins := byte(0)
	for i, name := range names {
		if c.Now(name) >= 0.5 {
			pins |= 1 << i
		}
	}
	for i := range r {
		r[i] = pins & c.latch
	}
	return nil
}
