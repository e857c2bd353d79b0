package mlx90614

import (
	"fmt"
	"math"

	"github.com/fieldgate/fieldgate/drivers"
)

// Commands that the driver does not use.
const (
	commandSleep = 0xff
	eeprom       = 0x20
)

var errNACK = fmt.Errorf("%w: simulated chip does not acknowledge", drivers.ErrAbsent)

// A chip is a simulated MLX90614 with one zone. Its EEPROM takes writes, so that
// a test can see that there were none.
type chip struct {
	drivers.Simulation
	flag   uint16 // of errors
	hot    bool   // it looks at something that is too hot
	asleep bool

	command byte
	eeprom  [32]uint16
	written int // words of EEPROM
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	// As the factory makes it (Rev 008 8.3): emissivity 1, the filters, the address.
	c.eeprom[0x04], c.eeprom[0x05], c.eeprom[0x0e] = 0xffff, 0x9fb4, 0xbe00|s.Address
	return c
}

// Reset is a power cycle. It wakes the chip.
func (c *chip) Reset() {
	c.Powered, c.command, c.asleep = c.Clock(), 0, false
}

// Tx takes a command, with a word and a checksum to write it, and answers with
// a word and a checksum.
func (c *chip) Tx(w, r []byte) error {
	if c.asleep {
		return errNACK
	}
	address := byte(c.Address << 1)
	if len(w) > 0 {
		c.command = w[0]
	}
	if len(w) > 1 && !c.write(checksum(append([]byte{address}, w[:len(w)-1]...)) == w[len(w)-1], w) {
		return errNACK
	}
	word := c.word()
	frame := [6]byte{address, c.command, address | 1, byte(word), byte(word >> 8)}
	frame[5] = checksum(frame[:5])
	for i := range r {
		r[i] = 0xff
	}
	copy(r, frame[3:])
	return nil
}

// write does what is written, if the checksum is good.
func (c *chip) write(good bool, w []byte) bool {
	switch {
	case !good:
		return false
	case len(w) == 2 && w[0] == commandSleep:
		c.asleep = true
	case len(w) == 4 && w[0]&^0x1f == eeprom:
		c.eeprom[w[0]&0x1f] = uint16(w[1]) | uint16(w[2])<<8
		c.written++
	default:
		return false
	}
	return true
}

func (c *chip) word() uint16 {
	switch {
	case c.command&^0x1f == eeprom:
		return c.eeprom[c.command&0x1f]
	case c.Clock()-c.Powered < settling*5/6:
		return 0
	case c.command == wordAmbient:
		return c.fiftieths("ambient") | c.flag
	case c.command == wordObject && c.hot:
		return highObject
	case c.command == wordObject:
		return c.fiftieths("temperature") | c.flag
	}
	return 0
}

func (c *chip) fiftieths(quantity string) uint16 {
	return uint16(min(max(math.Round((c.Now(quantity)+273.15)*50), lowObject), highObject))
}
