package sim_test

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

var _ spi.PortCloser = (*sim.SPI)(nil)

func TestSPI(t *testing.T) {
	wires := sim.NewBus("sim-spi-0.0")
	wires.Attach(0, &echo{})
	port := sim.NewSPI(wires)
	if _, err := port.Connect(0, spi.Mode0, 8); err == nil {
		t.Error("connected without a speed")
	}
	c, err := port.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil || c.Duplex() != conn.Full || c.String() != "sim-spi-0.0" {
		t.Fatalf("connect: %v, %v", c, err)
	}
	r := make([]byte, 2)
	if err := c.Tx([]byte{7, 8}, r); err != nil || r[0] != 7 {
		t.Errorf("read % x, %v", r, err)
	}
	if err := c.Tx([]byte{7}, r); err == nil {
		t.Error("one byte out and two in at the same time")
	}
	if err := c.TxPackets([]spi.Packet{{W: []byte{9}}, {R: r}}); err != nil || r[1] != 9 {
		t.Errorf("two packets: read % x, %v", r, err)
	}
	if err := c.TxPackets([]spi.Packet{{W: []byte{9}, KeepCS: true}}); err == nil {
		t.Error("a chip stays selected")
	}
	wires.Detach(0)
	for _, idle := range []byte{0xff, 0} {
		if port.Idle(idle); c.Tx([]byte{7, 8}, r) != nil || r[0] != idle || r[1] != idle {
			t.Errorf("nobody there, but read % x, want %02x", r, idle)
		}
	}
	wires.SetGone(true)
	if err := c.Tx([]byte{7, 8}, r); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("error = %v", err)
	}
}
