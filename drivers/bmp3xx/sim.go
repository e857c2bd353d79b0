package bmp3xx

import (
	"sort"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// example is the calibration of a real BMP388, as gobot's test of its driver
// has it.
var example = [21]byte{36, 107, 156, 73, 246, 104, 255, 189, 245, 35, 0, 151, 101, 184, 122, 243, 246, 211, 64, 14, 196}

// A chip is a simulated BMP388 or BMP390. It has no FIFO, no interrupts and no
// filter.
type chip struct {
	*model
	drivers.Simulation
	dead    bool // it never measures
	endless bool // a measurement never ends

	pointer byte
	regs    [256]byte
	ready   time.Duration // when the measurement under way ends; 0: none is
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
	c.pointer, c.regs, c.ready = 0, [256]byte{}, 0
	c.regs[regID] = c.id
	c.regs[regStatus] = 0x10 // ready for a command
	c.regs[regEvent] = eventPower
	c.regs[regSampling] = 0x02
	copy(c.regs[regCalibration:], example[:])
	c.show(regPressure, notMeasured)
	c.show(regTemperature, notMeasured)
}

func (c *chip) show(reg int, raw uint32) {
	c.regs[reg], c.regs[reg+1], c.regs[reg+2] = byte(raw), byte(raw>>8), byte(raw>>16)
}

// Tx writes pairs of register and value, or a register from which on it reads.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	if len(w) > 0 {
		c.pointer = w[0]
	}
	for ; len(w) >= 2; w = w[2:] {
		c.write(w[0], w[1])
	}
	for i := range r {
		r[i] = c.regs[c.pointer]
		c.wasRead(int(c.pointer))
		c.pointer++
	}
	return nil
}

// wasRead clears what reading clears.
func (c *chip) wasRead(reg int) {
	switch reg {
	case regEvent:
		c.regs[reg] = 0
	case regErrors:
		c.regs[reg] &= 1
	case regPressure + 2:
		c.regs[regStatus] &^= 0x20
	case regTemperature + 2:
		c.regs[regStatus] &^= 0x40
	}
}

func (c *chip) write(reg, v byte) {
	switch reg {
	case regCommand:
		if v == resetNow {
			c.Reset()
		}
	case regSampling:
		c.regs[reg] = v & 0x3f
	case regRate:
		c.regs[reg] = v & 0x1f
	case regFilter:
		c.regs[reg] = v & 0x0e
	case regPower:
		c.regs[reg] = v & 0x33
		if v&modeBits != 0 {
			c.ready = c.Clock() + c.takes()
		}
	}
}

// takes is how long a measurement takes (DS002 3.9.2).
func (c *chip) takes() time.Duration {
	took := 234 * time.Microsecond
	sampling := c.regs[regSampling]
	if c.regs[regPower]&1 != 0 {
		took += 392*time.Microsecond + 2020*time.Microsecond<<min(sampling&7, 5)
	}
	if c.regs[regPower]&2 != 0 {
		took += 163*time.Microsecond + 2020*time.Microsecond<<min(sampling>>3&7, 5)
	}
	return took
}

// advance brings status and data to the present.
func (c *chip) advance() {
	now := c.Clock()
	if c.ready == 0 || c.endless || now < c.ready {
		return
	}
	c.measure(now)
	if c.regs[regPower]&modeBits != modeNormal {
		c.regs[regPower] &^= modeBits
		c.ready = 0
	}
}

// measure puts what there is into the data registers.
func (c *chip) measure(now time.Duration) {
	if c.dead {
		return
	}
	k := parse(example)
	// The raw temperature rises with what it stands for, the raw pressure falls.
	t := uint32(sort.Search(1<<24-1, func(raw int) bool { return k.temperature(uint32(raw)) >= c.At("temperature", now) }))
	if c.regs[regPower]&2 != 0 {
		c.show(regTemperature, t)
		c.regs[regStatus] |= 0x40
	}
	if c.regs[regPower]&1 != 0 {
		cel := k.temperature(t)
		c.show(regPressure, uint32(sort.Search(1<<24-1, func(raw int) bool { return k.pressure(uint32(raw), cel) <= c.At("pressure", now) })))
		c.regs[regStatus] |= 0x20
	}
}
