// Package mcp23017 reads the 16 pins of Microchip's expander MCP23017 as inputs
// (datasheet DS20001952C). It never changes a direction or an output latch: a
// pin that is an output stays one, and its level is in doubt as an input.
package mcp23017

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers with IOCON.BANK = 0 (DS20001952C table 3-1): that of port A, and
// that of port B after it. Interrupts (0x04 to 0x09, 0x0e to 0x11) and output
// latches (0x14) are not written; flags of interrupts are not even read.
const (
	regDirection = 0x00 // IODIR: 1 is an input
	regPolarity  = 0x02 // IPOL: 1 inverts what is read
	regControl   = 0x0a // IOCON, one register at two addresses
	regPullUp    = 0x0c // GPPU: 1 is a resistor of 100 kOhm to the supply
	regLevels    = 0x12 // GPIO
	settings     = 0x0e // how many registers there are from regDirection to regPullUp
)

// Bits of IOCON (DS20001952C 3.5.6). Bit 0 reads 0.
const (
	bank       = 0x80 // registers are at other addresses
	sequential = 0x20 // the address does not count on
	unused     = 0x01
)

// With IOCON.BANK = 1, IOCON is at these. With BANK = 0 they are GPINTENB and
// OLATB.
const (
	regControlA1 = 0x05
	regControlB1 = 0x15
)

// names are the quantities by their bits: GPA0 to GPA7, GPB0 to GPB7.
var names = []string{"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"}

// Driver is the row for the table. RFC 8428 names "/" for the value of a
// switch.
func Driver() drivers.Driver {
	d := drivers.Driver{
		Name:      "mcp23017",
		Doc:       "MCP23017 expander, 16 inputs, each 0 or 1",
		Chips:     []string{"MCP23017"},
		Bus:       drivers.BusI2C,
		Addresses: []uint16{0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27},
		Address:   0x20,
		Interval:  time.Second,
		Timeout:   time.Second,
		Options: []drivers.Option{{
			Name: "pull_up", Default: "",
			Doc: `Inputs with the chip's own resistor to its supply, for contacts to ground: "a0 a1 b7" or "all".`,
		}, {
			Name: "inverted", Default: "",
			Doc: `Inputs that are 1 when they are low: "a0 a1 b7" or "all".`,
		}},
		Lies: []drivers.Lie{{
			Name: "became-output", Doc: "Its own level at a pin that somebody made an output (DS20001952C 3.5.1).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regDirection] = 0 },
		}, {
			Name: "polarity", Doc: "The inverted level at a pin whose polarity somebody changed (DS20001952C 3.5.2).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regPolarity+1] = 0xff },
		}, {
			Name: "bank", Doc: "Other registers at the same addresses when somebody set IOCON.BANK (DS20001952C 3.2.1).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regControl] |= bank },
		}, {
			Name: "byte-mode", Doc: "The first pair of registers again and again when somebody set IOCON.SEQOP (DS20001952C 3.2.1).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regControl] |= sequential },
		}, {
			Name: "no-pull-up", Doc: "Any level at an open contact after the power failed: no resistor pulls (DS20001952C 3.5.7).",
			Test: "TestPullUpsAreLost",
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
	for _, n := range names {
		d.Quantities = append(d.Quantities, drivers.Quantity{Name: n, Unit: "/"})
	}
	return d
}

type sensor struct {
	dev      i2c.Dev
	pullUp   uint16
	inverted uint16
	settings [settings]byte // as they were when it was opened

	w      [3]byte
	r      [settings]byte
	values [16]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	for option, bits := range map[string]*uint16{"pull_up": &s.pullUp, "inverted": &s.inverted} {
		pins, err := drivers.Pins(t.Options[option].(string), names)
		if err != nil {
			return nil, fmt.Errorf("option %s of the MCP23017: %w", option, err)
		}
		*bits = uint16(pins)
	}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	if err := s.configure(ctx); err != nil {
		return nil, fmt.Errorf("configure the MCP23017: %w", err)
	}
	return s, nil
}

// identify fails if the registers are not where they are after power-up. The
// chip has no id. Who set them otherwise would miss them if they were set back,
// and would hit the latches of outputs.
func (s *sensor) identify(ctx context.Context) error {
	if err := s.read(ctx, regControlA1, s.r[:1]); err != nil {
		return fmt.Errorf("look for the MCP23017: %w", err)
	}
	a := s.r[0]
	if err := s.read(ctx, regControlB1, s.r[:1]); err != nil {
		return fmt.Errorf("look for the MCP23017: %w", err)
	}
	if a == s.r[0] && a&(bank|unused) == bank {
		return fmt.Errorf("IOCON is 0x%02x: somebody set its bit BANK; switch the MCP23017 off and on", a)
	}
	if err := s.read(ctx, regControl, s.r[:2]); err != nil {
		return fmt.Errorf("read IOCON of the MCP23017: %w", err)
	}
	switch control := s.r[0]; {
	case control != s.r[1] || control&(bank|unused) != 0:
		return fmt.Errorf("IOCON is 0x%x: there is another chip than an MCP23017, or somebody set its bit BANK", s.r[:2])
	case control&sequential != 0:
		return fmt.Errorf("IOCON is 0x%02x: somebody set its bit SEQOP; switch the MCP23017 off and on", control)
	}
	return nil
}

// configure sets polarity and pull-up of the pins that are inputs, and notes
// the settings of all.
func (s *sensor) configure(ctx context.Context) error {
	if err := s.read(ctx, regDirection, s.settings[:]); err != nil {
		return err
	}
	inputs := s.pair(regDirection)
	if err := s.set(ctx, regPolarity, s.pair(regPolarity)&^inputs); err != nil {
		return err
	}
	if err := s.set(ctx, regPullUp, s.pair(regPullUp)&^inputs|s.pullUp&inputs); err != nil {
		return err
	}
	// What is noted is what the driver means, so a write that had no effect shows at the first visit.
	return nil
}

// pair gives two registers of the settings, port B in the high byte.
func (s *sensor) pair(reg int) uint16 { return binary.LittleEndian.Uint16(s.settings[reg:]) }

// set writes two registers of the settings if they are not so.
func (s *sensor) set(ctx context.Context, reg int, v uint16) error {
	if s.pair(reg) == v {
		return nil
	}
	binary.LittleEndian.PutUint16(s.settings[reg:], v)
	s.w = [3]byte{byte(reg), byte(v), byte(v >> 8)}
	return drivers.Transfer(ctx, &s.dev, s.w[:], nil)
}

// read reads registers in a row.
func (s *sensor) read(ctx context.Context, reg byte, p []byte) error {
	s.w[0] = reg
	return drivers.Transfer(ctx, &s.dev, s.w[:1], p)
}

// Read gives the levels of all pins. It clears the chip's interrupts, as every
// reading does (DS20001952C 3.5.10).
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.read(ctx, regLevels, s.r[:2]); err != nil {
		return nil, fmt.Errorf("read levels: %w", err)
	}
	levels := binary.LittleEndian.Uint16(s.r[:]) ^ s.inverted
	// The settings are read after the levels, so they tell if the power failed before those.
	if err := s.read(ctx, regDirection, s.r[:]); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if s.r != s.settings {
		return nil, fmt.Errorf("settings are %x, want %x: its power failed, or somebody changed them", s.r, s.settings)
	}
	inputs := s.pair(regDirection)
	for i, name := range names {
		s.values[i] = drivers.Value{Quantity: name, Value: float64(levels >> i & 1)}
		if inputs>>i&1 == 0 {
			s.values[i].Doubt = "the pin is an output"
		}
	}
	return s.values[:], nil
}

// Halt leaves the pins as they are: inputs drive nothing.
func (s *sensor) Halt() error { return nil }
