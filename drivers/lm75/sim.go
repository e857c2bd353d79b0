package lm75

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// The registers beside those that the driver uses (TI SNIS153 §8.6, TMP105
// SBOS648 table 2, TMP102 SBOS397 table 6): the pointer register selects one.
const (
	regLow  = 2
	regHigh = 3
)

// A kind is what sets the simulated members of the family apart.
type kind struct {
	config     uint16        // at reset; chips with one byte use the upper
	configLen  int           // bytes
	writable   uint16        // bits of config that a write changes
	conversion time.Duration // the first one after power-up, typical
}

var kinds = map[string]kind{
	"lm75":   {0x0000, 1, 0x1f00, 100 * time.Millisecond}, // D7-D5 stay 0; 9 bits always
	"tmp102": {0x60a0, 2, 0x9fd0, 26 * time.Millisecond},  // R1, R0 always say 12 bits; AL is read-only
	"tmp105": {0x0000, 1, 0xff00, 28 * time.Millisecond},  // 9 bits at reset
}

// A chip is a simulated chip of the family. It converts at once: the time that
// a conversion takes shows only after a reset, when the temperature register
// is 0 until the first is done.
type chip struct {
	kind
	drivers.Simulation

	pointer   byte
	conf      uint16
	low, high uint16
	asleep    uint16  // the temperature register while shut down
	answer    [2]byte // of the register that is read
}

// simulate makes a chip in its reset state, of the kind that the option "model"
// says.
func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{kind: kinds[s.Options["model"].(string)], Simulation: s}
	c.reset()
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset()
}

func (c *chip) reset() {
	c.pointer, c.conf, c.asleep = regTemp, c.config, 0
	c.low, c.high = 75<<8, 80<<8
}

// Tx writes the pointer and, with more bytes, the register; then it reads the
// register that the pointer names, over and over.
func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 {
		c.pointer = w[0] & 3
		c.write(w[1:])
	}
	reg := c.read()
	for i := range r {
		r[i] = reg[i%len(reg)]
	}
	return nil
}

func (c *chip) write(p []byte) {
	if len(p) == 0 {
		return
	}
	var v [2]byte
	copy(v[:], p)
	value := binary.BigEndian.Uint16(v[:])
	switch c.pointer {
	case regConfig:
		mask := c.writable
		if len(p) < 2 {
			mask &= 0xff00
		}
		before := c.conf
		c.conf = c.conf&^mask | value&mask
		if c.conf&^before&shutdown != 0 {
			c.asleep = c.measure()
		}
	case regLow:
		c.low = value
	case regHigh:
		c.high = value
	}
}

func (c *chip) read() []byte {
	binary.BigEndian.PutUint16(c.answer[:], c.register())
	if c.pointer == regConfig {
		return c.answer[:c.configLen]
	}
	return c.answer[:]
}

func (c *chip) register() uint16 {
	switch {
	case c.pointer == regConfig:
		return c.conf
	case c.pointer == regLow:
		return c.low
	case c.pointer == regHigh:
		return c.high
	case c.conf&shutdown != 0:
		return c.asleep
	}
	return c.measure()
}

// measure gives what the temperature register holds now: two's complement,
// left-justified, whole degrees in the upper byte, cut to the resolution.
func (c *chip) measure() uint16 {
	now := c.Clock()
	if now-c.Powered < c.conversion {
		return 0
	}
	steps := math.Floor(c.At("temperature", now) * 256)
	steps = min(max(steps, -128*256), 128*256-1)
	return uint16(int16(steps)) & (0xffff << (16 - c.bits()))
}

func (c *chip) bits() int { return 9 + int(c.conf>>13&3) }
