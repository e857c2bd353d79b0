package sim

import (
	"encoding/binary"
	"math"
	"time"
)

// The registers of the LM75 family (TI SNIS153 §8.6, TMP105 SBOS648 table 2,
// TMP102 SBOS397 table 6): the pointer register selects one.
const (
	lm75Temp = iota
	lm75Config
	lm75Low
	lm75High
)

// lm75Kind is what sets the members of the family apart.
type lm75Kind struct {
	config     uint16        // at reset; chips with one byte use the upper
	configLen  int           // bytes
	writable   uint16        // bits of config that a write changes
	conversion time.Duration // the first one after power-up, typical
}

var lm75Kinds = map[string]lm75Kind{
	"lm75":   {0x0000, 1, 0x1f00, 100 * time.Millisecond}, // D7-D5 stay 0; 9 bits always
	"tmp102": {0x60a0, 2, 0x9fd0, 26 * time.Millisecond},  // R1, R0 always say 12 bits; AL is read-only
	"tmp105": {0x0000, 1, 0xff00, 28 * time.Millisecond},  // 9 bits at reset
}

const lm75Shutdown = 0x0100

// An LM75 is a temperature chip of the LM75 family. It converts at once: the
// time that a conversion takes shows only after a reset, when the temperature
// register is 0 until the first is done.
type LM75 struct {
	lm75Kind
	name  string
	clock Clock
	temp  Curve // Cel

	// Registers, and when the power came; for the bus's goroutine only.
	pointer   byte
	conf      uint16
	low, high uint16
	powered   time.Duration
	asleep    uint16 // the temperature register while shut down
}

// NewLM75 gives a chip in its reset state: "lm75", "tmp102" or "tmp105". The
// temperature is asked for with the clock's time. It panics on another kind.
func NewLM75(kind string, clock Clock, temp Curve) *LM75 {
	k, ok := lm75Kinds[kind]
	if !ok {
		panic("sim: no such chip of the LM75 family: " + kind)
	}
	c := &LM75{lm75Kind: k, name: kind, clock: clock, temp: temp}
	c.Reset()
	return c
}

// Settled gives the chip as it is when its power came long ago.
func (c *LM75) Settled() *LM75 {
	c.powered -= time.Minute
	return c
}

// Reset is a power cycle.
func (c *LM75) Reset() {
	c.pointer, c.conf = lm75Temp, c.config
	c.low, c.high = 75<<8, 80<<8
	c.powered, c.asleep = c.clock(), 0
}

// Tx writes the pointer and, with more bytes, the register; then it reads the
// register that the pointer names, over and over.
func (c *LM75) Tx(w, r []byte) error {
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

func (c *LM75) write(p []byte) {
	if len(p) == 0 {
		return
	}
	var v [2]byte
	copy(v[:], p)
	value := binary.BigEndian.Uint16(v[:])
	switch c.pointer {
	case lm75Config:
		mask := c.writable
		if len(p) < 2 {
			mask &= 0xff00
		}
		before := c.conf
		c.conf = c.conf&^mask | value&mask
		if c.conf&^before&lm75Shutdown != 0 {
			c.asleep = c.measure()
		}
	case lm75Low:
		c.low = value
	case lm75High:
		c.high = value
	}
}

func (c *LM75) read() []byte {
	switch c.pointer {
	case lm75Config:
		return binary.BigEndian.AppendUint16(nil, c.conf)[:c.configLen]
	case lm75Low:
		return binary.BigEndian.AppendUint16(nil, c.low)
	case lm75High:
		return binary.BigEndian.AppendUint16(nil, c.high)
	}
	if c.conf&lm75Shutdown != 0 {
		return binary.BigEndian.AppendUint16(nil, c.asleep)
	}
	return binary.BigEndian.AppendUint16(nil, c.measure())
}

// measure gives what the temperature register holds now: two's complement,
// left-justified, whole degrees in the upper byte, cut to the resolution.
func (c *LM75) measure() uint16 {
	now := c.clock()
	if now-c.powered < c.conversion {
		return 0
	}
	steps := math.Floor(c.temp(now) * 256)
	steps = min(max(steps, -128*256), 128*256-1)
	return uint16(int16(steps)) & (0xffff << (16 - c.bits()))
}

func (c *LM75) bits() int { return 9 + int(c.conf>>13&3) }
