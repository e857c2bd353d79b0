package drivers

import (
	"fmt"
	"regexp"
	"strconv"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// A Channel is a part of an I2C bus behind a multiplexer: "i2c-1/0x70/3" is
// channel 3 of the multiplexer at 0x70 on i2c-1. Its driver in the kernel is
// i2c-mux-pca954x: PCA9548, TCA9548A and what has the same control register,
// a bit for each channel (NXP PCA9548A data sheet, section 6.3).
type Channel struct {
	Bus     string // that the multiplexer is on
	Mux     uint16 // its address, 0x70 to 0x77
	Channel int    // 0 to 7
}

var channelName = regexp.MustCompile(`^([a-z0-9-]+)/0x(7[0-7])/([0-7])$`)

// ParseChannel reads the name of a channel; ok is false for every other bus.
func ParseChannel(name string) (c Channel, ok bool) {
	parts := channelName.FindStringSubmatch(name)
	if parts == nil {
		return Channel{}, false
	}
	mux, _ := strconv.ParseUint(parts[2], 16, 16) // digits, says channelName
	return Channel{Bus: parts[1], Mux: uint16(mux), Channel: int(parts[3][0] - '0')}, true
}

// String gives the name, "i2c-1/0x70/3".
func (c Channel) String() string { return fmt.Sprintf("%s/0x%02x/%d", c.Bus, c.Mux, c.Channel) }

// Behind gives the part of a bus that is behind a channel. The channel is
// selected before each sequence of transfers, and none is after it, while the
// bus is held: devices behind different channels may have one address.
func (c Channel) Behind(bus i2c.Bus) i2c.BusCloser {
	return &behind{Channel: c, bus: bus, open: []byte{1 << c.Channel}, shut: []byte{0}}
}

// behind is the bus behind a channel.
type behind struct {
	Channel
	bus        i2c.Bus
	open, shut []byte // the control register; only read
}

// SetSpeed fails: the speed is that of the bus.
func (b *behind) SetSpeed(physic.Frequency) error {
	return fmt.Errorf("set the speed of %s: it is that of %s", b, b.bus)
}

// Close closes the bus, if it can be closed.
func (b *behind) Close() error {
	if c, ok := b.bus.(i2c.BusCloser); ok {
		return c.Close()
	}
	return nil
}

// Tx does one transfer.
func (b *behind) Tx(addr uint16, w, r []byte) error {
	return b.Sequence(func(held i2c.Bus) error { return held.Tx(addr, w, r) })
}

// Probe asks whether a chip is at addr, on the bus or behind the channel.
func (b *behind) Probe(addr uint16) error {
	return b.Sequence(func(held i2c.Bus) error { return held.(heldBehind).Probe(addr) })
}

// Sequence holds the bus, with the channel selected, while f runs.
func (b *behind) Sequence(f func(held i2c.Bus) error) error {
	return Sequence(b.bus, func(held i2c.Bus) error {
		if err := held.Tx(b.Mux, b.open, nil); err != nil {
			return fmt.Errorf("%w: select %s: %v", ErrBus, b, err) // not %w: a multiplexer that is absent is no absent device
		}
		failed := f(heldBehind{b, held})
		if err := held.Tx(b.Mux, b.shut, nil); err != nil {
			// Once more: a channel that stays open joins its devices to the bus.
			err = held.Tx(b.Mux, b.shut, nil)
			if err != nil && failed == nil {
				return fmt.Errorf("%w: leave %s: %v", ErrBus, b, err)
			}
		}
		return failed
	})
}

// heldBehind is the bus behind a channel within a sequence.
type heldBehind struct {
	*behind
	held i2c.Bus
}

// Tx does one transfer; the channel is selected.
func (h heldBehind) Tx(addr uint16, w, r []byte) error { return h.held.Tx(addr, w, r) }

// Sequence of a held bus: it is held already.
func (h heldBehind) Sequence(f func(held i2c.Bus) error) error { return f(h) }

// Probe asks; the channel is selected.
func (h heldBehind) Probe(addr uint16) error {
	p, ok := h.held.(Prober)
	if !ok {
		return fmt.Errorf("%w: %s cannot ask who is there", ErrBus, h.held)
	}
	return p.Probe(addr)
}
