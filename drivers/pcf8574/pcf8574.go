// Package pcf8574 reads the eight pins of the expanders PCF8574 and PCF8574A of
// NXP and TI as inputs (NXP's datasheet PCF8574_PCF8574A, Rev. 5). The chip has
// no registers: what is read are the pins, what is written is its latch.
package pcf8574

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// names are the quantities by their bits.
var names = []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"}

// Driver is the row for the table. RFC 8428 names "/" for the value of a
// switch.
func Driver() drivers.Driver {
	d := drivers.Driver{
		Name:  "pcf8574",
		Doc:   "PCF8574 or PCF8574A expander, 8 inputs, each 0 or 1",
		Chips: []string{"PCF8574"},
		Bus:   drivers.BusI2C,
		// The A has those from 0x38 on (Rev. 5 7.1).
		Addresses: []uint16{0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f},
		Address:   0x20,
		Interval:  time.Second,
		Timeout:   time.Second,
		Options: []drivers.Option{{
			Name: "all_inputs", Default: false, Example: true,
			Doc: "true: all eight pins are inputs, and each visit writes them high. false: some may be outputs, so nothing is written, " +
				"and a low pin is in doubt: one that somebody wrote low reads low, too.",
		}, {
			Name: "inverted", Default: "",
			Doc: `Inputs that are 1 when they are low: "p0 p1 p7" or "all".`,
		}},
		Lies: []drivers.Lie{{
			Name: "written-low", Doc: "Low at a pin that somebody wrote low (Rev. 5 8.1).",
			Tell: func(c drivers.Chip) { c.(*chip).latch = 0x0f },
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

// released is the latch that lets go all pins: a current of 100 µA pulls them
// up, and who drives one low is stronger (Rev. 5 8.1).
const released = 0xff

type sensor struct {
	dev       i2c.Dev
	allInputs bool
	inverted  byte
	w, r      [1]byte
	values    [8]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	inverted, err := drivers.Pins(t.Options["inverted"].(string), names)
	if err != nil {
		return nil, fmt.Errorf("option inverted of the PCF8574: %w", err)
	}
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, allInputs: t.Options["all_inputs"].(bool),
		inverted: byte(inverted), w: [1]byte{released}}
	if err := s.visit(ctx); err != nil {
		return nil, fmt.Errorf("look for the PCF8574: %w", err)
	}
	return s, nil
}

// visit lets go all pins if it may, and reads them.
func (s *sensor) visit(ctx context.Context) error {
	if s.allInputs {
		// A transfer of its own: its end gives a pin that was held low time to rise.
		if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
			return err
		}
	}
	return drivers.Transfer(ctx, &s.dev, nil, s.r[:])
}

// Read gives the levels of all pins. It clears the chip's interrupt.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.visit(ctx); err != nil {
		return nil, fmt.Errorf("read levels: %w", err)
	}
	for i, name := range names {
		s.values[i] = drivers.Value{Quantity: name, Value: float64((s.r[0] ^ s.inverted) >> i & 1)}
		if !s.allInputs && s.r[0]>>i&1 == 0 {
			s.values[i].Doubt = "somebody may have written the pin low"
		}
	}
	return s.values[:], nil
}

// Halt leaves the pins as they are: inputs drive nothing.
func (s *sensor) Halt() error { return nil }
