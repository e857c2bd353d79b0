// Package mcp3008 reads Microchip's converter MCP3008 (10 bits, eight inputs;
// datasheet DS21295D).
package mcp3008

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
)

const (
	startBit = 0x01
	single   = 0x80 // an input against ground; the number of the input in the three bits below
	nullBit  = 0x04 // of the second byte: always 0 before the ten bits (DS21295D 5.0)
	highest  = 1023
)

var quantities = []drivers.Quantity{
	{Name: "voltage0", Unit: "V"}, {Name: "voltage1", Unit: "V"}, {Name: "voltage2", Unit: "V"}, {Name: "voltage3", Unit: "V"},
	{Name: "voltage4", Unit: "V"}, {Name: "voltage5", Unit: "V"}, {Name: "voltage6", Unit: "V"}, {Name: "voltage7", Unit: "V"},
}

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "mcp3008",
		Doc:        "MCP3008 converter, eight inputs against ground",
		Chips:      []string{"MCP3008"},
		Bus:        drivers.BusSPI,
		SPI:        drivers.SPI{Mode: spi.Mode0, Speed: physic.MegaHertz}, // 1.35 MHz at 2.7 V (DS21295D 1.0)
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: quantities,
		Options: []drivers.Option{{
			Name: "reference", Default: 3.3,
			Doc: "Voltage at the pin VREF, in V. No input can be measured above it.",
		}},
		Lies: []drivers.Lie{{
			Name: "clipped", Doc: "1023 when there is more than VREF (DS21295D 4.2).",
			Tell: func(c drivers.Chip) { c.(*chip).clipped = true },
		}},
		// It has no settings, no identity and no checksum: without the chip all bits are 0, as with 0 V.
		Blind:    []string{"MISOStuckLow", "FlippedBit"},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	conn      spi.Conn
	reference float64
	w, r      [3]byte
	values    [8]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{conn: t.SPI, reference: t.Options["reference"].(float64)}
	if !(s.reference > 0) {
		return nil, fmt.Errorf("reference = %v: a voltage in V is above 0", s.reference)
	}
	if _, err := s.Read(ctx); err != nil {
		return nil, fmt.Errorf("look for an MCP3008: %w", err)
	}
	return s, nil
}

// Read converts the inputs, one after the other.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	for i := range quantities {
		s.w = [3]byte{startBit, single | byte(i)<<4, 0}
		if err := drivers.Transfer(ctx, s.conn, s.w[:], s.r[:]); err != nil {
			return nil, fmt.Errorf("convert input %d: %w", i, err)
		}
		if s.r[1]&nullBit != 0 {
			return nil, fmt.Errorf("convert input %d: %w: the bit before the value is 1, as on a line that nobody drives", i, drivers.ErrAbsent)
		}
		raw := int(s.r[1]&0x03)<<8 | int(s.r[2])
		s.values[i] = drivers.Value{Quantity: quantities[i].Name, Value: float64(raw) * s.reference / 1024}
		if raw == highest {
			s.values[i].Doubt = "clipped: the voltage is at or above the reference"
		}
	}
	return s.values[:], nil
}

// Halt has nothing to do: the chip sleeps while it is not selected.
func (s *sensor) Halt() error { return nil }
