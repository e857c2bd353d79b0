package drivers

import (
	"errors"

	"periph.io/x/conn/v3/i2c"
)

// ErrHeld is an address that a driver of Linux has taken. Nobody else asks it.
var ErrHeld = errors.New("held by a driver of Linux")

// A Prober is an I2C bus that can ask who is there.
type Prober interface {
	i2c.Bus
	// Probe returns nil if something answers at the address, ErrAbsent if nothing
	// does, and ErrHeld if a driver of Linux has the address. A chip that answers
	// was only addressed, or at some addresses read for one byte; see ProbeReads.
	Probe(addr uint16) error
}

// ProbeReads reports whether Probe reads a byte at this address. A memory chip
// would take the beginning of a write for one that was broken off, so those
// addresses are read, as i2cdetect(8) does. That moves the place at which such a
// chip is read next.
func ProbeReads(addr uint16) bool {
	return addr >= 0x30 && addr <= 0x37 || addr >= 0x50 && addr <= 0x5f
}
