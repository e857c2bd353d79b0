package max31855

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated MAX31855K.
type chip struct {
	drivers.Simulation
	faults uint32
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle.
func (c *chip) Reset() { c.Powered, c.faults = c.Clock(), 0 }

// Tx sends the 32 bits, and then zeros.
func (c *chip) Tx(_, r []byte) error {
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], c.word())
	clear(r)
	copy(r, word[:])
	return nil
}

func (c *chip) word() uint32 {
	// Power-up takes 200 ms, and a conversion 100 (19-5793 "Thermal Characteristics").
	if c.Clock()-c.Powered < 200*time.Millisecond {
		return 0
	}
	at := c.Clock().Truncate(100 * time.Millisecond)
	cold := c.At("cold-junction", at)
	if c.faults != 0 {
		return 0x7ffc0000&^alwaysZero | fault | uint32(uint16(int16(math.Floor(cold*16)))<<4) | c.faults
	}
	// It takes the voltage for a straight line, and adds its own temperature.
	hot := (millivolts(c.At("temperature", at))-millivolts(cold))/slope + cold
	quarters := int32(min(max(math.Round(hot*4), -8192), 8191))
	return uint32(quarters)<<18 | uint32(uint16(int16(math.Floor(cold*16)))<<4)
}
