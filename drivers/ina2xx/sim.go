package ina2xx

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated INA219, INA226 or INA260. Told to measure again and
// again it shows what there is at the moment of a transfer, and told to measure
// once what there was at the end of the conversion.
type chip struct {
	*model
	drivers.Simulation
	dead    bool // it never converts
	clipped bool // there is always more than it can measure

	pointer byte
	config  uint16
	calib   uint16
	since   time.Duration // when the configuration was written, or the power came
	seen    bool          // the ready flag was read (INA226, INA260) or the power register was (INA219)
}

func (m *model) simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{model: m, Simulation: s}
	c.reset()
	c.since = s.Powered
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset()
}

func (c *chip) reset() {
	c.pointer, c.config, c.calib, c.since, c.seen = 0, c.model.reset, 0, c.Clock(), false
}

// Tx sets the pointer and, with two bytes more, a register; then it reads the
// register that the pointer names (SBOS448 8.5.5).
func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 {
		c.pointer = w[0]
	}
	if len(w) >= 3 {
		c.write(binary.BigEndian.Uint16(w[1:]))
	}
	if len(r) == 0 {
		return nil
	}
	var reg [2]byte
	binary.BigEndian.PutUint16(reg[:], c.read())
	for i := range r {
		r[i] = reg[i%2]
	}
	return nil
}

func (c *chip) write(v uint16) {
	switch {
	case c.pointer == regConfig && v&0x8000 != 0:
		c.reset()
	case c.pointer == regConfig:
		c.config, c.since, c.seen = v, c.Clock(), false
		if c.die != 0 { // bits 14 to 12 cannot be written
			c.config = v&0x0fff | c.model.reset&0x7000
		}
	case c.pointer == regCalib && !c.inside:
		c.calib = v &^ 1 // SBOS448 8.6.3.5: bit 0 is always 0
		if c.die != 0 {
			c.calib = v & 0x7fff
		}
	}
}

// ready says whether a conversion was done since the configuration was written.
func (c *chip) ready() bool {
	return !c.dead && c.config&7 != 0 && c.Clock()-c.since >= c.conversion*9/10
}

func (c *chip) read() uint16 {
	switch {
	case c.pointer == regConfig:
		return c.config
	case c.pointer == regCalib && !c.inside:
		return c.calib
	case c.die != 0 && c.pointer == regMaker:
		return makerTexas
	case c.die != 0 && c.pointer == regDie:
		return c.die
	case c.die != 0 && c.pointer == regMask:
		flag := uint16(0)
		if c.ready() && !c.seen {
			flag, c.seen = maskReady, true
		}
		return flag
	case !c.ready():
		return 0
	}
	return c.measured()
}

func (c *chip) measured() uint16 {
	switch c.pointer {
	case regShunt:
		return uint16(c.across())
	case regBus:
		bus := c.bus() << c.busShift
		if c.die == 0 {
			bus |= busReady
		}
		return bus
	case regCurrent:
		if c.inside {
			return 0
		}
		return uint16(c.current())
	case regPower:
		return c.power()
	}
	return 0
}

// at gives a quantity as the last conversion saw it.
func (c *chip) at(quantity string) float64 {
	if c.config&4 != 0 { // MODE3: again and again
		return c.Now(quantity)
	}
	return c.At(quantity, c.since+c.conversion*9/10)
}

// across is the raw voltage of the shunt; of an INA260 the raw current.
func (c *chip) across() int16 {
	v := c.at("current")
	if !c.inside {
		v *= c.Options["shunt"].(float64)
	}
	full := float64(c.shuntFull)
	if c.clipped {
		return c.shuntFull
	}
	return int16(min(max(math.Round(v/c.shuntLSB), -full), full))
}

// bus is the raw voltage.
func (c *chip) bus() uint16 {
	full := float64(uint16(0x7fff)) / float64(uint16(1)<<max(c.busShift-1, 0))
	if c.clipped {
		return uint16(full)
	}
	return uint16(min(max(math.Round(c.at("voltage")/c.busLSB), 0), full))
}

// current is the register: the calibration's product (SBOS448 8.5.1 equation 4,
// SBOS547 7.5 equation 3).
func (c *chip) current() int16 {
	divisor := int64(4096)
	if c.die != 0 {
		divisor = 2048
	}
	return int16(min(max(int64(c.across())*int64(c.calib)/divisor, math.MinInt16), math.MaxInt16))
}

// power is the register: 5000ths of the product in an INA219, 20000ths in an
// INA226 (SBOS448 equation 5, SBOS547 equation 4). It has no sign. That of an INA260
// has steps of 10 mW.
func (c *chip) power() uint16 {
	if c.inside {
		watts := math.Abs(float64(c.across())*c.shuntLSB) * float64(c.bus()) * c.busLSB
		return uint16(min(watts/0.01, math.MaxUint16))
	}
	amps := int64(c.current())
	divisor := int64(5000)
	if c.die != 0 {
		divisor, amps = 20000, max(amps, -amps)
	}
	return uint16(amps * int64(c.bus()) / divisor)
}
