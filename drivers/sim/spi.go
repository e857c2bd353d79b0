package sim

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// An SPI is a simulated SPI port with one chip select, an spi.PortCloser. The
// chip is the one at address 0 of a Bus, and so are its faults.
type SPI struct {
	bus  i2c.Bus
	idle byte
}

// NewSPI gives the port whose wires are those of a bus.
func NewSPI(wires i2c.Bus) *SPI { return &SPI{bus: wires, idle: 0xff} }

// Idle says what is read where no chip drives the line: 0xff with a pull-up, 0
// with a pull-down.
func (p *SPI) Idle(b byte) { p.idle = b }

// String gives the name.
func (p *SPI) String() string { return p.bus.String() }

// Close has nothing to close.
func (p *SPI) Close() error { return nil }

// LimitSpeed accepts every speed: the simulation knows none.
func (p *SPI) LimitSpeed(physic.Frequency) error { return nil }

// Connect gives the chip behind the port. It may be called again.
func (p *SPI) Connect(f physic.Frequency, _ spi.Mode, bits int) (spi.Conn, error) {
	if f <= 0 || bits != 8 {
		return nil, fmt.Errorf("connect to %s: %v and %d bits: want a speed and 8 bits", p, f, bits)
	}
	return (*spiConn)(p), nil
}

type spiConn SPI

func (c *spiConn) String() string      { return c.bus.String() }
func (c *spiConn) Duplex() conn.Duplex { return conn.Full }

// Tx passes w and r at the same time. Where no chip is, nobody notices: r is
// what the line idles at.
func (c *spiConn) Tx(w, r []byte) error {
	if len(w) > 0 && len(r) > 0 && len(w) != len(r) {
		return fmt.Errorf("transfer on %s: %d bytes out and %d in at the same time", c, len(w), len(r))
	}
	err := c.bus.Tx(0, w, r)
	if !errors.Is(err, ErrNACK) {
		return err
	}
	for i := range r {
		r[i] = c.idle
	}
	return nil
}

// TxPackets does packets one after the other.
func (c *spiConn) TxPackets(packets []spi.Packet) error {
	for _, p := range packets {
		if p.KeepCS || p.BitsPerWord != 0 && p.BitsPerWord != 8 {
			return fmt.Errorf("transfer on %s: a simulated port keeps no chip selected and has words of 8 bits", c)
		}
		if err := c.Tx(p.W, p.R); err != nil {
			return err
		}
	}
	return nil
}
