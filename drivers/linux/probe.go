package linux

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// smbus is struct i2c_smbus_ioctl_data.
type smbus struct {
	read, command uint8
	size          uint32
	data          *[34]byte
}

// Probe asks whether anything answers at addr, as drivers.Prober says.
func (b *I2C) Probe(addr uint16) error {
	return b.Sequence(func(held i2c.Bus) error { return held.(*heldI2C).Probe(addr) })
}

// Probe asks by an address without any byte behind it where that is safe and
// the adapter can, else by reading one byte. An address that a driver of Linux
// has is not touched.
func (h *heldI2C) Probe(addr uint16) error {
	if err := h.probe(addr); err != nil {
		return fmt.Errorf("ask 0x%02x on %s: %w", addr, h.name, err)
	}
	return nil
}

func (h *heldI2C) probe(addr uint16) error {
	// The kernel's own check (i2cdev_check_addr) also knows the drivers behind a multiplexer.
	switch err := h.sys.set(h.fd, i2cSlave, int(addr)); {
	case errors.Is(err, unix.EBUSY):
		return drivers.ErrHeld
	case err != nil:
		return classify(err)
	}
	var funcs uintptr // unsigned long
	if _, err := h.sys.ioctl(h.fd, i2cFuncs, unsafe.Pointer(&funcs)); err != nil {
		return classify(err)
	}
	ask := smbus{size: sizeQuick}
	if drivers.ProbeReads(addr) || funcs&funcQuick == 0 {
		ask = smbus{read: 1, size: sizeByte, data: new([34]byte)}
	}
	if _, err := h.sys.ioctl(h.fd, i2cSMBus, unsafe.Pointer(&ask)); err != nil {
		return classify(err)
	}
	return nil
}
