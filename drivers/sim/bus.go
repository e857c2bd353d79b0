// Package sim is hardware without hardware: a simulated I2C bus, SPI port and
// input line, and the faults that real ones have. Which chips are on them, the
// table of drivers says. The drivers cannot tell; `fieldgate demo` and the
// tests of drivers run on it.
package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/fieldgate/fieldgate/drivers"
)

// What a simulated bus says when a chip or the bus itself fails.
var (
	ErrNACK    = fmt.Errorf("%w: simulated chip does not acknowledge", drivers.ErrAbsent)
	ErrGone    = fmt.Errorf("%w: simulated bus taken away", drivers.ErrBus)
	ErrTimeout = errors.New("simulated transfer timed out")
)

// A Bus is a simulated I2C bus. It may be used by several goroutines; a
// transfer that is delayed holds up all others, as on a real one.
type Bus struct {
	name string
	turn chan struct{} // holds one token; who has it has the wires

	mu     sync.Mutex // guards what follows
	chips  map[uint16]drivers.Chip
	muxes  []*Mux
	faults map[uint16]*Fault
	script []Event
	clock  drivers.Clock // of the script
	gone   bool
	hung   bool
	off    map[uint16]bool // by address: the chip has no power
}

// NewBus gives a bus without chips. The name is what String says, "sim-1".
func NewBus(name string) *Bus {
	b := &Bus{
		name:   name,
		turn:   make(chan struct{}, 1),
		chips:  make(map[uint16]drivers.Chip),
		faults: make(map[uint16]*Fault),
		off:    make(map[uint16]bool),
	}
	b.turn <- struct{}{}
	return b
}

// Attach joins a chip to the bus, in the place of any that was at addr.
func (b *Bus) Attach(addr uint16, c drivers.Chip) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chips[addr] = c
}

// Detach takes the chip at addr off the bus: nobody acknowledges there.
func (b *Bus) Detach(addr uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.chips, addr)
}

// PowerCycle resets the chip at addr, between two transfers.
func (b *Bus) PowerCycle(addr uint16) {
	<-b.turn
	defer func() { b.turn <- struct{}{} }()
	if c, _ := b.at(addr); c != nil {
		c.Reset()
	}
}

// SetPower switches the supply of the chip at addr, between two transfers. Off,
// it answers nothing, and what Inject did to it ends. On again, it starts anew.
func (b *Bus) SetPower(addr uint16, on bool) {
	<-b.turn
	defer func() { b.turn <- struct{}{} }()
	b.mu.Lock()
	was := !b.off[addr]
	b.off[addr] = !on
	if !on {
		delete(b.faults, addr)
	}
	b.mu.Unlock()
	if c, _ := b.at(addr); c != nil && on && !was {
		c.Reset()
	}
}

// SetGone takes the whole bus away, or gives it back.
func (b *Bus) SetGone(gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = gone
}

// SetHung holds a wire down, or lets it go: every transfer takes hangs, and then
// times out.
func (b *Bus) SetHung(hung bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hung = hung
}

// hangs is how long the kernel waits for a bus that hangs, as drivers/linux
// sets it.
const hangs = 200 * time.Millisecond

// String gives the name of the bus.
func (b *Bus) String() string { return b.name }

// SetSpeed accepts every speed: the simulation knows none.
func (b *Bus) SetSpeed(physic.Frequency) error { return nil }

// Close has nothing to close; the bus can still be used.
func (b *Bus) Close() error { return nil }

// Tx does one transfer.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	return b.Sequence(func(held i2c.Bus) error { return held.Tx(addr, w, r) })
}

// Probe asks whether a chip is at addr, as drivers.Prober says.
func (b *Bus) Probe(addr uint16) error {
	return b.Sequence(func(h i2c.Bus) error { return h.(held).Probe(addr) })
}

// Sequence holds the bus while f runs.
func (b *Bus) Sequence(f func(held i2c.Bus) error) error {
	<-b.turn
	defer func() { b.turn <- struct{}{} }()
	return f(held{b})
}

// held is the bus in the hands of who has the turn.
type held struct{ *Bus }

// Sequence of a held bus: it is held already.
func (h held) Sequence(f func(held i2c.Bus) error) error { return f(h) }

// Tx does one transfer without asking for the turn.
func (h held) Tx(addr uint16, w, r []byte) error {
	fault := h.strike(addr)
	if fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	chip, gone := h.at(addr) // now, not before: it may have been unplugged meanwhile
	switch {
	case gone:
		return ErrGone
	case fault.Err != nil && !fault.Applied:
		return fault.Err
	case chip == nil && fault.Err != nil:
		return fault.Err
	case chip == nil:
		return ErrNACK
	}
	if fault.PowerLoss {
		chip.Reset()
	}
	if fault.harmless() {
		return chip.Tx(w, r)
	}
	return fault.spoil(chip, w, r)
}

// Probe asks without asking for the turn.
func (h held) Probe(addr uint16) error {
	fault := h.strike(addr)
	time.Sleep(fault.Delay)
	switch chip, gone := h.at(addr); {
	case gone:
		return ErrGone
	case fault.Err != nil:
		return fault.Err
	case chip == nil:
		return ErrNACK
	}
	return nil
}

// at gives the chip that has the address now, behind a multiplexer too.
func (b *Bus) at(addr uint16) (c drivers.Chip, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c = b.chips[addr]
	for i := 0; c == nil && i < len(b.muxes); i++ {
		c = b.muxes[i].behind(addr)
	}
	if b.off[addr] {
		return nil, b.gone
	}
	return c, b.gone
}
