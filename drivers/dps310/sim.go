package dps310

import (
	"math"
	"sort"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// example are the coefficients of the chip that QEMU's hw/sensor/dps310.c shows.
var example = [18]byte{0x0e, 0x1e, 0xdd, 0x13, 0xca, 0x5f, 0x21, 0x52, 0xf9, 0xc6, 0x04, 0xd1, 0xdb, 0x47, 0x00, 0x5b, 0xfb, 0x3a}

// How long the chip starts (SENSOR_RDY and COEF_RDY, V1.2 section 8).
const (
	sensorReady      = 12 * time.Millisecond
	coefficientReady = 40 * time.Millisecond
)

// A chip is a simulated DPS310. It has no FIFO and no interrupts.
type chip struct {
	drivers.Simulation
	dead bool // it never measures
	fuse bool // its temperature needs the sequence

	pointer byte
	regs    [256]byte
	unlock  int           // how much of the sequence was written
	next    time.Duration // when the measurement under way ends; 0: none is
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
	c.pointer, c.regs, c.unlock, c.next = 0, [256]byte{}, 0, 0
	c.regs[regID] = id
	copy(c.regs[regCoefficients:], example[:])
	c.regs[regSource] = external
	if !c.fuse {
		c.regs[regFuse] = fuseSet
	}
}

// Tx writes registers in a row, or sets the one from which on it reads.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	if len(w) > 0 {
		c.pointer = w[0]
		for _, v := range w[1:] {
			c.write(c.pointer, v)
			c.pointer++
		}
	}
	for i := range r {
		r[i] = c.regs[c.pointer]
		switch c.pointer {
		case regPressure + 2:
			c.regs[regMeasure] &^= 0x10
		case regPressure + 5:
			c.regs[regMeasure] &^= 0x20
		}
		c.pointer++
	}
	return nil
}

func (c *chip) write(reg, v byte) {
	if c.unlock < len(fuseSequence) && fuseSequence[c.unlock] == [2]byte{reg, v} {
		c.unlock++
	}
	switch reg {
	case regPressureSet, regTemperature, regConfig:
		c.regs[reg] = v
	case regMeasure:
		c.regs[reg] = c.regs[reg]&^control | v&control
		c.next = 0
		if v&control != 0 {
			c.next = c.Clock() + c.period()
		}
	case regReset:
		if v&0x0f == 0x09 {
			c.Reset()
		}
	}
}

func (c *chip) precision() precision { return precisions[c.regs[regPressureSet]&7] }

// period is from one measurement to the next, in the background.
func (c *chip) period() time.Duration {
	return max(time.Second>>(c.regs[regPressureSet]>>4&7), c.precision().takes+precisions[0].takes)
}

// advance brings status and data to the present.
func (c *chip) advance() {
	now := c.Clock()
	if now-c.Powered >= sensorReady {
		c.regs[regMeasure] |= 0x40
	}
	if now-c.Powered >= coefficientReady {
		c.regs[regMeasure] |= 0x80
	}
	if c.next == 0 || now < c.next || c.dead {
		return
	}
	c.measure(now)
	c.next += (now - c.next + c.period()) / c.period() * c.period()
}

// measure puts what there is into the data registers.
func (c *chip) measure(now time.Duration) {
	k := parse(example)
	cel := c.At("temperature", now)
	if c.fuse && c.unlock < len(fuseSequence) {
		cel += 40
	}
	if c.regs[regTemperature]&external == 0 {
		cel -= 15 // the other sensor, which the coefficients are not for
	}
	t := int32(math.Round((cel - k.c0/2) / k.c1 * precisions[0].scale))
	scale := c.precision().scale
	tsc := float64(t) / precisions[0].scale
	// The raw value falls with the pressure.
	from := -int(scale)
	p := int32(from + sort.Search(2*int(scale), func(i int) bool {
		return k.pressure(float64(from+i)/scale, tsc) <= c.At("pressure", now)
	}))
	if c.regs[regPressureSet]&7 > 3 && c.regs[regConfig]&shift == 0 {
		p <<= 8 // does not fit
	}
	for i, v := range []int32{p, t} {
		copy(c.regs[regPressure+3*i:], []byte{byte(v >> 16), byte(v >> 8), byte(v)})
	}
	c.regs[regMeasure] |= 0x30
}
