package ads1x15

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// rates are samples a second, by DR (SBAS444D table 8, SBAS473E table 8).
var rates = map[bool][8]int{
	false: {8, 16, 32, 64, 128, 250, 475, 860},
	true:  {128, 250, 490, 920, 1600, 2400, 3300, 3300},
}

// A chip is a simulated ADS1115 or ADS1015.
type chip struct {
	*model
	drivers.Simulation
	clipped bool // there is always more than the range
	endless bool // a conversion never ends

	pointer byte
	config  uint16 // without OS
	value   uint16
	limits  [2]uint16
	done    time.Duration // when the conversion under way ends; 0: none is
}

func (m *model) simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{model: m, Simulation: s}
	c.reset()
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset()
}

func (c *chip) reset() {
	c.pointer, c.config, c.value, c.done = 0, afterReset&^idle, 0, 0
	c.limits = [2]uint16{0x8000, 0x7fff}
}

// Tx sets the pointer and writes the register, then it reads it.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	if len(w) > 0 {
		c.pointer = w[0] & 3
	}
	if len(w) >= 3 {
		c.write(binary.BigEndian.Uint16(w[1:]))
	}
	v := c.value
	switch c.pointer {
	case regConfig:
		if v = c.config; c.done == 0 && c.config&single != 0 {
			v |= idle
		}
	case 2, 3:
		v = c.limits[c.pointer-2]
	}
	for i := range r {
		r[i] = byte(v >> (8 - 8*(i%2)))
	}
	return nil
}

func (c *chip) write(v uint16) {
	switch {
	case c.pointer >= 2:
		c.limits[c.pointer-2] = v
	case c.pointer == regConfig:
		c.config = v &^ idle
		if v&idle != 0 || v&single == 0 {
			c.done = c.Clock() + c.takes()
		}
	}
}

// takes is how long a conversion takes. A chip may be 10 % slower or faster than
// its rate says (SBAS444D 7.5): this one is 1 % faster, and up to 1 ms.
func (c *chip) takes() time.Duration {
	nominal := time.Second / time.Duration(rates[c.low != 0][c.config>>5&7])
	return nominal - min(nominal/100, time.Millisecond)
}

// advance ends a conversion whose time has come.
func (c *chip) advance() {
	if c.done == 0 || c.endless || c.Clock() < c.done {
		return
	}
	c.value = c.convert(c.done)
	if c.done = 0; c.config&single == 0 {
		c.done = c.Clock() + c.takes()
	}
}

// convert gives the value of the inputs that are selected.
func (c *chip) convert(at time.Duration) uint16 {
	volts := c.between(c.config>>muxShift&7, at)
	gain := min(int(c.config>>gainShift&7), len(ranges)-1)
	steps := math.Round(volts / ranges[gain].(float64) * 32768)
	if c.clipped {
		steps = math.MaxInt16
	}
	return uint16(int16(min(max(steps, math.MinInt16), math.MaxInt16))) &^ c.low
}

// between gives the voltage between the inputs of MUX.
func (c *chip) between(mux uint16, at time.Duration) float64 {
	for i, m := range c.muxes {
		if m == mux {
			return c.At(c.quantities[i], at)
		}
	}
	if len(c.muxes) == len(pairs) {
		return 0 // pairs have no voltage against ground here
	}
	volts := func(i int) float64 { return c.At(c.quantities[i], at) }
	switch mux {
	case 0:
		return volts(0) - volts(1)
	case 1:
		return volts(0) - volts(3)
	case 2:
		return volts(1) - volts(3)
	}
	return volts(2) - volts(3)
}
