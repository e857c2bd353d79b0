package bh1750

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// Typical times of a measurement at the usual measurement time (page 2).
const (
	typicalH = 120 * time.Millisecond
	typicalL = 16 * time.Millisecond
)

type chip struct {
	drivers.Simulation
	on    bool
	time  byte
	data  uint16
	mode  byte // of the measurement under way; 0: none
	begun time.Duration

	fails bool // the power will fail in the next measurement
	glare bool // there is more light than the chip can measure
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

func (c *chip) reset() { c.on, c.time, c.data, c.mode = false, usualTime, 0, 0 }

// Tx takes one instruction, then gives the data register over and over.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	if len(w) > 0 {
		c.instruction(w[0])
	}
	var data [2]byte
	binary.BigEndian.PutUint16(data[:], c.data)
	for i := range r {
		r[i] = data[i%2]
	}
	return nil
}

func (c *chip) instruction(b byte) {
	switch {
	case b == 0: // power down
		c.on, c.mode = false, 0
	case b == powerOn:
		c.on = true
	case b == resetData && c.on:
		c.data = 0
	case b&^7 == timeHigh:
		c.time = c.time&0x1f | b<<5
	case b&^0x1f == timeLow:
		c.time = c.time&0xe0 | b&0x1f
	case b&^3 == 0x10, b&^3 == 0x20: // "Power On" may be omitted before it (page 5)
		c.on, c.mode, c.begun = true, b, c.Clock()
	}
}

// duration is how long the measurement under way takes.
func (c *chip) duration() time.Duration {
	d := typicalH
	if c.mode&3 == 3 {
		d = typicalL
	}
	return d * time.Duration(c.time) / usualTime
}

// advance ends measurements whose time has come.
func (c *chip) advance() {
	done := c.Clock() - c.begun
	if c.mode == 0 || done < c.duration() {
		return
	}
	if c.fails {
		c.fails = false
		c.Reset()
		return
	}
	// The last of those that were done in the meantime counts.
	last := c.begun + done/c.duration()*c.duration()
	if c.mode&0x20 != 0 {
		last = c.begun + c.duration()
	}
	c.data = c.measure(last)
	if c.begun = last; c.mode&0x20 != 0 {
		c.on, c.mode = false, 0
	}
}

// measure gives the count at a moment.
func (c *chip) measure(at time.Duration) uint16 {
	if c.glare {
		return math.MaxUint16
	}
	count := c.At("illuminance", at) * countPerLx * float64(c.time) / usualTime
	switch c.mode & 3 {
	case 1:
		count *= 2
	case 3:
		count = 4 * math.Floor(count/4) // steps of 4 lx
	}
	return uint16(math.Round(min(max(count, 0), math.MaxUint16)))
}
