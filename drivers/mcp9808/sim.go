package mcp9808

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// conversions are how long one takes, by resolution (DS25095A table 5-5).
var conversions = [4]time.Duration{30 * time.Millisecond, 65 * time.Millisecond, 130 * time.Millisecond, 250 * time.Millisecond}

// A chip is a simulated MCP9808. It converts at once: the time of a conversion
// shows only after a reset.
type chip struct {
	drivers.Simulation
	pointer    byte
	config     uint16
	limits     [3]uint16 // upper, lower, critical
	resolution byte
	frozen     uint16  // the temperature register while shut down
	answer     [2]byte // of the register that is read
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s, resolution: resolution} }

// Reset is a power cycle.
func (c *chip) Reset() {
	*c = chip{Simulation: c.Simulation, resolution: resolution}
	c.Powered = c.Clock()
}

// Tx sets the pointer and writes the register, then it reads it.
func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 {
		c.pointer = w[0] & 0x0f
		c.write(w[1:])
	}
	reg := c.read()
	for i := range r {
		r[i] = reg[i%len(reg)]
	}
	return nil
}

func (c *chip) write(p []byte) {
	switch {
	case c.pointer == regResolution && len(p) >= 1:
		c.resolution = p[0] & 3
	case len(p) < 2:
	case c.pointer == regConfig:
		v := binary.BigEndian.Uint16(p) & 0x07ff
		if v&^c.config&shutdown != 0 {
			c.frozen = c.ambient()
		}
		c.config = v
	case c.pointer >= 2 && c.pointer <= 4:
		c.limits[c.pointer-2] = binary.BigEndian.Uint16(p) & 0x1ffc
	}
}

func (c *chip) read() []byte {
	v := uint16(0)
	switch c.pointer {
	case regConfig:
		v = c.config
	case 2, 3, 4:
		v = c.limits[c.pointer-2]
	case regAmbient:
		if v = c.frozen; c.config&shutdown == 0 {
			v = c.ambient()
		}
	case regMaker:
		v = maker
	case regDevice:
		v = device << 8
	case regResolution:
		c.answer[0] = c.resolution
		return c.answer[:1]
	}
	binary.BigEndian.PutUint16(c.answer[:], v)
	return c.answer[:]
}

// ambient gives the temperature register: sixteenths in 13 bits, cut to the
// resolution, and above them the flags of the limits, which compare with 0.25 Cel.
func (c *chip) ambient() uint16 {
	now := c.Clock()
	if now-c.Powered < conversions[c.resolution] {
		return 0
	}
	steps := int16(min(max(math.Floor(c.At("temperature", now)*16), -256*16), 256*16-1))
	steps &= -1 << (3 - c.resolution)
	v := uint16(steps) & 0x1fff
	limit := func(i int) int16 { return int16(c.limits[i]<<3) >> 3 }
	if steps < limit(1) {
		v |= 0x2000
	}
	if steps > limit(0) {
		v |= 0x4000
	}
	if steps >= limit(2) {
		v |= 0x8000
	}
	return v
}
