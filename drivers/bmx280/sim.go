package bmx280

import (
	"encoding/binary"
	"sort"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// example is the calibration of the example in the BMP280's datasheet (DS001
// 3.12); that of humidity is like those of usual chips.
var example = calibration{
	t1: 27504, t2: 26435, t3: -1000,
	p1: 36477, p2: -10685, p3: 3024, p4: 2855, p5: 140, p6: -7, p7: 15500, p8: -14600, p9: 6000,
	h1: 75, h2: 362, h3: 0, h4: 325, h5: 50, h6: 30,
}

// startUp is how long the chip loads its calibration (DS002 table 1).
const startUp = 2 * time.Millisecond

// A chip is a simulated BME280 or BMP280.
type chip struct {
	*model
	drivers.Simulation
	dead    bool // it never measures
	endless bool // a measurement never ends

	pointer byte
	regs    [256]byte
	humSet  byte          // of regControlHum, as it was when regControl was written
	ready   time.Duration // when the measurement under way ends; 0: none is
	began   time.Duration // when it began
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
	c.pointer, c.regs, c.humSet, c.ready = 0, [256]byte{}, 0, 0
	c.regs[regID] = c.ids[0]
	for i, v := range []uint16{
		example.t1, uint16(example.t2), 0xfc18, example.p1, 0xd643, uint16(example.p3), uint16(example.p4),
		uint16(example.p5), 0xfff9, uint16(example.p7), 0xc6f8, uint16(example.p9),
	} {
		binary.LittleEndian.PutUint16(c.regs[regCalibration+2*i:], v)
	}
	c.show(skipped, skipped, skipped>>4)
	if !c.humidity {
		return
	}
	c.regs[0xa1] = example.h1
	copy(c.regs[regHumidity:], []byte{byte(example.h2 & 0xff), byte(example.h2 >> 8), example.h3,
		byte(example.h4 >> 4), byte(example.h4&0x0f) | byte(example.h5&0x0f)<<4, byte(example.h5 >> 4), byte(example.h6)})
}

// show puts raw values into the data registers.
func (c *chip) show(p, t, h int32) {
	for i, v := range []int32{p, t} {
		copy(c.regs[regData+3*i:], []byte{byte(v >> 12), byte(v >> 4), byte(v << 4)})
	}
	if c.humidity {
		binary.BigEndian.PutUint16(c.regs[regData+6:], uint16(h))
	}
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
		c.pointer++
	}
	return nil
}

func (c *chip) write(reg, v byte) {
	switch {
	case reg == regReset && v == 0xb6:
		c.Reset()
	case reg == regControlHum && c.humidity:
		c.regs[reg] = v & 7
	case reg == regConfig:
		c.regs[reg] = v
	case reg == regControl:
		c.regs[reg] = v
		c.humSet = c.regs[regControlHum]
		if v&3 != modeSleep {
			c.began = c.Clock()
			c.ready = c.began + c.takes()
		}
	}
}

// takes is how long a measurement takes, typically (DS002 9.1).
func (c *chip) takes() time.Duration {
	control := c.regs[regControl]
	tenths := 10 + 20*times(control>>5)
	for _, n := range []int{times(control >> 2 & 7), times(c.humSet)} {
		if n > 0 {
			tenths += 20*n + 5
		}
	}
	return time.Duration(tenths) * time.Millisecond / 10
}

// times is how many samples an oversampling setting takes.
func times(setting byte) int {
	if setting == 0 {
		return 0
	}
	return 1 << (min(setting, 5) - 1)
}

// advance brings status and data to the present.
func (c *chip) advance() {
	now := c.Clock()
	c.regs[regStatus] = 0
	if now-c.Powered < startUp {
		c.regs[regStatus] = statusUpdate
	}
	if c.ready == 0 {
		return
	}
	if c.endless || now < c.ready {
		c.regs[regStatus] |= statusMeasuring
		return
	}
	c.measure(now)
	if c.regs[regControl]&3 != modeNormal {
		c.regs[regControl] &^= 3
		c.ready = 0
	}
}

// measure puts what there is into the data registers.
func (c *chip) measure(now time.Duration) {
	if c.dead {
		return
	}
	p, t, h := int32(skipped), int32(skipped), int32(skipped>>4)
	// The raw values fall with pressure, and rise with the others: look for the one that stands for what there is.
	search := func(limit int, reached func(raw int32) bool) int32 {
		return int32(sort.Search(limit, func(raw int) bool { return reached(int32(raw)) }))
	}
	var fine float64
	if times(c.regs[regControl]>>5) > 0 {
		t = search(1<<20-1, func(raw int32) bool {
			cel, _ := example.temperature(raw)
			return cel >= c.At("temperature", now)
		})
		_, fine = example.temperature(t)
	}
	if times(c.regs[regControl]>>2&7) > 0 {
		p = search(1<<20-1, func(raw int32) bool { return example.pressure(raw, fine) <= c.At("pressure", now) })
	}
	if times(c.humSet) > 0 {
		h = search(1<<16-1, func(raw int32) bool { return example.humidity(raw, fine) >= c.At("humidity", now) })
	}
	c.show(p, t, h)
}
