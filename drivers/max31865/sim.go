package max31865

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated MAX31865 with its thermometer.
type chip struct {
	drivers.Simulation
	wires   byte // faults that the check of the wires finds
	shorted bool
	dead    bool // it never measures

	regs [8]byte
	done time.Duration // when the measurement under way ends; 0: none is
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	c.reset()
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset()
}

func (c *chip) reset() {
	c.regs, c.done = [8]byte{3: 0xff, 4: 0xff}, 0 // thresholds (19-6478 table 1)
}

// Tx takes the address in its first byte, and goes on from there.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	clear(r)
	if len(w) == 0 {
		return nil
	}
	for i := range w[1:] {
		reg := (w[0]&0x7f + byte(i)) & 7
		if w[0]&write != 0 {
			c.write(reg, w[i+1]) // and says nothing
			continue
		}
		r[i+1] = c.regs[reg]
	}
	return nil
}

func (c *chip) write(reg, v byte) {
	switch {
	case reg >= 3 && reg <= 6:
		c.regs[reg] = v
	case reg != regConfig:
		return
	}
	if v&clearFault != 0 {
		c.regs[regFaults] = 0
	}
	if v&0x0c == checkWires && v&bias != 0 {
		c.regs[regFaults] |= c.wires
	}
	if v&oneShot != 0 && v&bias != 0 {
		c.done = c.Clock() + 62500*time.Microsecond // with the filter for 50 Hz
		if v&filter50Hz == 0 {
			c.done = c.Clock() + 52*time.Millisecond
		}
	}
	c.regs[regConfig] = v &^ (oneShot | clearFault | 0x0c)
}

// advance ends a measurement whose time has come.
func (c *chip) advance() {
	if c.done == 0 || c.Clock() < c.done {
		return
	}
	at := c.done
	c.done = 0
	if c.dead {
		return
	}
	ohm := ratio(c.At("temperature", at)) * c.Options["nominal"].(float64)
	raw := uint16(min(max(math.Round(ohm/c.Options["reference"].(float64)*32768), 0), 0x7fff))
	switch {
	case c.shorted:
		raw = 0
	case c.wires != 0: // the input floats
		raw = 0x3000
	}
	rtd := raw << 1
	if c.regs[regFaults] != 0 {
		rtd |= 1
	}
	binary.BigEndian.PutUint16(c.regs[regRTD:], rtd)
}
