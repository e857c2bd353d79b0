package ds3231

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated DS3231. A battery keeps its time, so a power cycle
// leaves all as it is; it stands still at a moment of its clock.
type chip struct {
	drivers.Simulation
	pointer byte
	regs    [registers]byte
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	// Friday, 27 November 2026, 12:34:56: BCD.
	copy(c.regs[:], []byte{0x56, 0x34, 0x12, 5, 0x27, 0x11, 0x26})
	c.regs[0x0e], c.regs[regStatus] = 0x1c, 0x08
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() { c.Powered, c.pointer = c.Clock(), 0 }

// Tx sets the pointer, writes from there, and reads from there.
func (c *chip) Tx(w, r []byte) error {
	// A conversion every 64 s (19-5170 "Temperature Registers").
	at := c.Clock().Truncate(64 * time.Second)
	quarters := int16(min(max(math.Floor(c.At("temperature", at)*4), -512), 511))
	c.regs[regTemp], c.regs[regTemp+1] = byte(quarters>>2), byte(quarters<<6)
	if len(w) > 0 {
		c.pointer = w[0] % registers
		for _, v := range w[1:] {
			c.regs[c.pointer] = v
			c.next()
		}
	}
	for i := range r {
		r[i] = c.regs[c.pointer]
		c.next()
	}
	return nil
}

func (c *chip) next() { c.pointer = (c.pointer + 1) % registers }
