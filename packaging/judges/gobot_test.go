package judges

import (
	"encoding/binary"

	"gobot.io/x/gobot/v2/drivers/i2c"
	periphi2c "periph.io/x/conn/v3/i2c"
)

// gobotBus makes a bus one that gobot's drivers take.
type gobotBus struct{ periphi2c.Bus }

func (b gobotBus) GetI2cConnection(address, _ int) (i2c.Connection, error) {
	return gobotConn{periphi2c.Dev{Bus: b.Bus, Addr: uint16(address)}}, nil
}

func (b gobotBus) DefaultI2cBus() int { return 1 }

// gobotConn is one chip on it. Words are little-endian on SMBus; a block is
// read from a register on, as plain I2C.
type gobotConn struct{ dev periphi2c.Dev }

func (c gobotConn) Read(p []byte) (int, error)  { return len(p), c.dev.Tx(nil, p) }
func (c gobotConn) Write(p []byte) (int, error) { return len(p), c.dev.Tx(p, nil) }
func (c gobotConn) Close() error                { return nil }

func (c gobotConn) ReadByte() (byte, error) {
	var p [1]byte
	err := c.dev.Tx(nil, p[:])
	return p[0], err
}

func (c gobotConn) ReadByteData(reg uint8) (uint8, error) {
	var p [1]byte
	err := c.dev.Tx([]byte{reg}, p[:])
	return p[0], err
}

func (c gobotConn) ReadWordData(reg uint8) (uint16, error) {
	var p [2]byte
	err := c.dev.Tx([]byte{reg}, p[:])
	return binary.LittleEndian.Uint16(p[:]), err
}

func (c gobotConn) ReadBlockData(reg uint8, p []byte) error { return c.dev.Tx([]byte{reg}, p) }
func (c gobotConn) WriteByte(v byte) error                  { return c.dev.Tx([]byte{v}, nil) }
func (c gobotConn) WriteByteData(reg, v uint8) error        { return c.dev.Tx([]byte{reg, v}, nil) }
func (c gobotConn) WriteBytes(p []byte) error               { return c.dev.Tx(p, nil) }

func (c gobotConn) WriteWordData(reg uint8, v uint16) error {
	return c.dev.Tx([]byte{reg, byte(v), byte(v >> 8)}, nil)
}

func (c gobotConn) WriteBlockData(reg uint8, p []byte) error {
	return c.dev.Tx(append([]byte{reg}, p...), nil)
}

var _ i2c.Connector = gobotBus{}
