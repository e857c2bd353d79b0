package tmp117

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated TMP117.
type chip struct {
	drivers.Simulation
	dead    bool // it never measures
	endless bool // a measurement never ends

	pointer byte
	config  uint16 // without Data_Ready
	ready   bool   // Data_Ready
	temp    uint16
	done    time.Duration // when the conversion under way ends
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	c.reset(s.Powered)
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset(c.Powered)
}

func (c *chip) reset(at time.Duration) {
	c.pointer, c.config, c.ready, c.temp = 0, 0x0220, false, never
	c.done = at + 2*time.Millisecond + c.takes()
}

// takes is how long a conversion takes, typically: 15.5 ms a sample (SNOSD82
// table 7-7). Standby times in between are left out.
func (c *chip) takes() time.Duration {
	samples := []int{1, 8, 32, 64}[c.config>>5&3]
	return time.Duration(samples) * 15500 * time.Microsecond
}

// Tx sets the pointer and writes the register, then it reads it.
func (c *chip) Tx(w, r []byte) error {
	c.advance()
	if len(w) > 0 {
		c.pointer = w[0]
	}
	if len(w) >= 3 && c.pointer == regConfig {
		v := binary.BigEndian.Uint16(w[1:])
		if v&0x0002 != 0 { // Soft_Reset
			c.reset(c.Clock())
			return nil
		}
		c.config, c.ready = v&0x0ffc, false
		c.done = c.Clock() + c.takes()
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

func (c *chip) read() uint16 {
	switch c.pointer {
	case regTemp:
		c.ready = false
		return c.temp
	case regConfig:
		v := c.config
		if c.ready {
			v |= dataReady
		}
		c.ready = false
		return v
	case regID:
		return id
	}
	return 0
}

// advance ends conversions whose time has come.
func (c *chip) advance() {
	now, mod := c.Clock(), c.config&oneShot
	if mod == sleeping || c.endless || now < c.done {
		return
	}
	at := now // again and again: what there is now
	if mod == oneShot {
		at = c.done
		c.config = c.config&^oneShot | sleeping
	}
	c.ready = true
	if !c.dead {
		c.temp = uint16(int16(min(max(math.Floor(c.At("temperature", at)*128), -256*128), 256*128-1)))
	}
}
