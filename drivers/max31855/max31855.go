// Package max31855 reads a thermocouple of type K with Maxim's MAX31855K
// (datasheet 19-5793 Rev 5).
//
// The chip takes the voltage of a thermocouple for a straight line. At 1000 °C
// that is right, at 200 °C it is 3 K too little, and at -200 °C it is 57 K too
// much. The driver undoes that, and uses the polynomials of ITS-90 (NIST
// Monograph 175).
package max31855

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
)

// Bits of the 32 that the chip sends (19-5793 table 2).
const (
	fault      = 1 << 16
	openWire   = 1 << 0
	shortGND   = 1 << 1
	shortVCC   = 1 << 2
	alwaysZero = 1<<17 | 1<<3
)

// slope is what the chip takes for the voltage of 1 K, in mV (19-5793 table 1).
const slope = 41.276e-3

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:     "max31855",
		Doc:      "MAX31855K for a thermocouple of type K",
		Chips:    []string{"MAX31855"},
		Bus:      drivers.BusSPI,
		SPI:      drivers.SPI{Mode: spi.Mode0, Speed: 4 * physic.MegaHertz}, // 5 MHz at most (19-5793 "Serial-Interface Timing")
		Interval: time.Second,
		Timeout:  time.Second,
		Quantities: []drivers.Quantity{
			{Name: "temperature", Unit: "Cel", Typical: 150}, {Name: "cold-junction", Unit: "Cel", Typical: 25, Decimals: 4},
		},
		Lies: []drivers.Lie{{
			Name: "open", Doc: "A temperature although no thermocouple is connected: bit 0 (19-5793 table 2).",
			Tell: func(c drivers.Chip) { c.(*chip).faults = openWire },
		}, {
			Name: "short-to-gnd", Doc: "A temperature although the thermocouple touches ground: bit 1.",
			Tell: func(c drivers.Chip) { c.(*chip).faults = shortGND },
		}, {
			Name: "short-to-vcc", Doc: "A temperature although the thermocouple touches the supply: bit 2.",
			Tell: func(c drivers.Chip) { c.(*chip).faults = shortVCC },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	conn   spi.Conn
	w, r   [4]byte
	values [2]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{conn: t.SPI}
	_, err := s.receive(ctx)
	if errors.Is(err, drivers.ErrAbsent) {
		// For 200 ms after power-up it says nothing (19-5793 "Thermal Characteristics").
		if err := drivers.Pause(ctx, 250*time.Millisecond); err != nil {
			return nil, err
		}
		_, err = s.receive(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("look for a MAX31855: %w", err)
	}
	return s, nil
}

// receive gets what the chip measured last; it does so every 100 ms.
func (s *sensor) receive(ctx context.Context) (uint32, error) {
	if err := drivers.Transfer(ctx, s.conn, s.w[:], s.r[:]); err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	word := binary.BigEndian.Uint32(s.r[:])
	switch {
	case word == 0, word == 0xffffffff:
		// 0 would be 0.00 °C at both ends, to a sixteenth of 1 K.
		return 0, fmt.Errorf("all bits are %d, as on a line that nobody drives: %w", word&1, drivers.ErrAbsent)
	case word&alwaysZero != 0:
		return 0, fmt.Errorf("%08x has bits that are always 0: garbled, or another chip", word)
	case (word&fault != 0) != (word&(openWire|shortGND|shortVCC) != 0):
		return 0, fmt.Errorf("%08x contradicts itself about faults: garbled, or another chip", word)
	}
	return word, nil
}

// Read gives the temperatures of both ends of the thermocouple.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	word, err := s.receive(ctx)
	switch {
	case err != nil:
		return nil, err
	case word&openWire != 0:
		return nil, errors.New("no thermocouple is connected, or its wire is broken")
	case word&shortGND != 0:
		return nil, errors.New("the thermocouple touches ground: use one whose tip is insulated")
	case word&shortVCC != 0:
		return nil, errors.New("the thermocouple touches the supply")
	}
	hot := float64(int32(word)>>18) / 4
	cold := float64(int16(word)>>4) / 16
	s.values[0] = drivers.Value{Quantity: "temperature", Value: correct(hot, cold)}
	s.values[1] = drivers.Value{Quantity: "cold-junction", Value: cold}
	// Limits of the chip for type K, and of its own temperature (19-5793 table 1, "Absolute Maximum Ratings").
	if hot < -200 || hot > 1350 {
		s.values[0].Doubt = "outside of what the chip can measure"
	}
	if cold < -40 || cold > 125 {
		s.values[0].Doubt = "the chip is too cold or too hot"
		s.values[1].Doubt = s.values[0].Doubt
	}
	return s.values[:], nil
}

// correct gives the temperature of the hot end in Cel, from what the chip says
// of both ends: the voltage that it saw, and what the thermocouple gives at the
// cold end, make the voltage against 0 °C.
func correct(hot, cold float64) float64 { return celsius((hot-cold)*slope + millivolts(cold)) }

// Halt has nothing to do: the chip only speaks.
func (s *sensor) Halt() error { return nil }
