package linux

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"github.com/fieldgate/fieldgate/drivers"
)

// An SPI is a port behind /dev/spidevN.C: bus N, chip select C. It is an
// spi.PortCloser that can be connected again, which periph's cannot: a device
// that is opened anew is told mode and speed anew.
type SPI struct {
	name     string
	bus, sel int
	open     func(bus, sel int) (spi.PortCloser, error)

	mu    sync.Mutex // guards port
	port  spi.PortCloser
	fresh bool // port was not connected yet
}

var spiName = regexp.MustCompile(`^spi-([0-9]{1,3})\.([0-9]{1,2})$`)

// OpenSPI opens the port called "spi-N.C", the kernel's /dev/spidevN.C. No
// other device is looked at. An error that is drivers.ErrBus means that the
// port is not usable now but may be later; any other that the name is wrong.
func OpenSPI(name string) (spi.PortCloser, error) {
	p, err := openSPI(name, func(bus, sel int) (spi.PortCloser, error) { return sysfs.NewSPI(bus, sel) })
	if err != nil {
		return nil, err // not p: a nil *SPI in an interface is not nil
	}
	return p, nil
}

func openSPI(name string, open func(bus, sel int) (spi.PortCloser, error)) (*SPI, error) {
	parts := spiName.FindStringSubmatch(name)
	if parts == nil {
		return nil, fmt.Errorf("SPI port %q: want spi-N.C, as in /dev/spidevN.C", name)
	}
	p := &SPI{name: name, open: open}
	p.bus, _ = strconv.Atoi(parts[1]) // digits, says spiName
	p.sel, _ = strconv.Atoi(parts[2])
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reopenLocked(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *SPI) reopenLocked() error {
	p.closeLocked()
	port, err := p.open(p.bus, p.sel)
	if err != nil {
		return fmt.Errorf("%w: open %s: %w (is it switched on, dtparam=spi=on, and the user in the group of that file, spi?)",
			drivers.ErrBus, p.name, err)
	}
	p.port, p.fresh = port, true
	return nil
}

func (p *SPI) closeLocked() {
	if p.port != nil {
		_ = p.port.Close() // nothing was being written
		p.port = nil
	}
}

// String gives the name, "spi-0.0".
func (p *SPI) String() string { return p.name }

// LimitSpeed fails: the speed is the driver's.
func (p *SPI) LimitSpeed(physic.Frequency) error {
	return fmt.Errorf("limit the speed of %s: it is given with Connect", p.name)
}

// Close ends the use of the port.
func (p *SPI) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked()
	return nil
}

// Connect gives the chip behind the port. What an earlier call gave ends.
func (p *SPI) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fresh || p.port == nil {
		if err := p.reopenLocked(); err != nil {
			return nil, err
		}
	}
	p.fresh = false
	c, err := p.port.Connect(f, mode, bits)
	if err != nil {
		return nil, fmt.Errorf("%w: connect to %s: %w", drivers.ErrBus, p.name, err)
	}
	return &spiConn{name: p.name, conn: c}, nil
}

// A spiConn names the port's errors. No chip can make a transfer on SPI fail:
// what fails is the port.
type spiConn struct {
	name string
	conn spi.Conn
}

func (c *spiConn) String() string      { return c.name }
func (c *spiConn) Duplex() conn.Duplex { return c.conn.Duplex() }
func (c *spiConn) Tx(w, r []byte) error {
	return c.explain(c.conn.Tx(w, r))
}
func (c *spiConn) TxPackets(p []spi.Packet) error { return c.explain(c.conn.TxPackets(p)) }

func (c *spiConn) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", drivers.ErrBus, c.name, err)
}
