package linux

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
)

// spidev is a port as periph's: it can be connected once.
type spidev struct {
	bus, sel          int
	connected, closed bool
	err               error
}

func (s *spidev) String() string                    { return fmt.Sprintf("SPI%d.%d", s.bus, s.sel) }
func (s *spidev) LimitSpeed(physic.Frequency) error { return nil }
func (s *spidev) Duplex() conn.Duplex               { return conn.Full }
func (s *spidev) TxPackets([]spi.Packet) error      { return s.err }

func (s *spidev) Close() error {
	s.closed = true
	return nil
}

func (s *spidev) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) {
	if s.connected {
		return nil, errors.New("connected already")
	}
	s.connected = true
	return s, s.err
}

func (s *spidev) Tx(w, r []byte) error {
	copy(r, w)
	return s.err
}

func TestSPIIsConnectedAgain(t *testing.T) {
	var opened []*spidev
	p, err := openSPI("spi-10.2", func(bus, sel int) (spi.PortCloser, error) {
		opened = append(opened, &spidev{bus: bus, sel: sel})
		return opened[len(opened)-1], nil
	})
	if err != nil || p.String() != "spi-10.2" {
		t.Fatalf("opened %v, %v", p, err)
	}
	for n := 1; n <= 3; n++ {
		c, err := p.Connect(physic.MegaHertz, spi.Mode0, 8)
		if err != nil || len(opened) != n || opened[n-1].bus != 10 || opened[n-1].sel != 2 {
			t.Fatalf("connect %d: %v after %d opens", n, err, len(opened))
		}
		r := make([]byte, 1)
		if err := c.Tx([]byte{7}, r); err != nil || r[0] != 7 {
			t.Errorf("read %v, %v", r, err)
		}
		if n > 1 && !opened[n-2].closed {
			t.Errorf("port %d stays open", n-1)
		}
	}
	opened[2].err = errors.New("shut down")
	c := &spiConn{name: "spi-10.2", conn: opened[2]}
	if err := c.Tx(nil, make([]byte, 1)); !errors.Is(err, drivers.ErrBus) || !errors.Is(err, opened[2].err) {
		t.Errorf("error = %v", err)
	}
	if err := p.Close(); err != nil || !opened[2].closed {
		t.Errorf("close: %v, closed: %v", err, opened[2].closed)
	}
}

func TestSPIThatCannotBeOpened(t *testing.T) {
	gone := errors.New("no such file")
	_, err := openSPI("spi-0.0", func(int, int) (spi.PortCloser, error) { return nil, gone })
	if !errors.Is(err, drivers.ErrBus) || !errors.Is(err, gone) || !strings.Contains(err.Error(), "spi=on") {
		t.Errorf("error = %v", err)
	}
	for _, name := range []string{"spi-0", "spi0.0", "/dev/spidev0.0", "spi-0.0x"} {
		if _, err := openSPI(name, nil); err == nil || errors.Is(err, drivers.ErrBus) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	// Nobody has that many ports.
	if _, err := OpenSPI("spi-999.99"); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("the kernel's port: %v", err)
	}
}
