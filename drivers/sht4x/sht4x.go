// Package sht4x reads Sensirion's humidity and temperature sensors SHT40, SHT41,
// SHT43 and SHT45. Facts are from the datasheet "SHT4x", version 1, October 2020,
// and version 7.1 for times.
//
// The chip has heaters that work for at most a second after a command, and no
// bit that tells of it. If another program on the same bus heats the chip, the
// next values are too warm and too dry, and nothing shows it.
package sht4x

import (
	"context"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// Commands (§4.5).
var (
	cmdMeasure = []byte{0xfd} // high precision
	cmdSerial  = []byte{0x89}
)

const (
	// measuring is how long a measurement takes at most: 8.3 ms (§3.1).
	measuring = 9 * time.Millisecond
	// powerUp is longer than the chip needs after its power came: 1 ms (§3.1).
	powerUp = 2 * time.Millisecond
)

// What the chip is specified for (§2), and half a step of its words.
const minCelsius, maxCelsius = -40 - 0.0014, 125 + 0.0014

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "sht4x",
		Doc:        "SHT40, SHT41, SHT43, SHT45 humidity and temperature sensors",
		Chips:      []string{"SHT4x"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x44, 0x45, 0x46},
		Address:    0x44,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "humidity", Unit: "%RH"}},
		Lies: []drivers.Lie{{
			Name: "rails", Doc: "The smallest or largest word: its sensing element is broken, or far outside of its range.",
			Tell: func(c drivers.Chip) { c.(*chip).broken = true },
		}},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev    i2c.Dev
	in     [6]byte // of a visit, kept so that it allocates nothing
	words  [2]uint16
	values [2]drivers.Value
}

// open checks that such a chip is there: it has a serial number, with
// checksums.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	// A measurement that is under way makes the chip deaf.
	if err := sensirion.Insist(ctx, &s.dev, cmdSerial, nil, measuring); err != nil {
		return nil, fmt.Errorf("read serial number: %w", err)
	}
	time.Sleep(powerUp)
	if err := s.read(ctx); err != nil {
		return nil, fmt.Errorf("read serial number: %w", err)
	}
	return s, nil
}

// read takes two words from the chip.
func (s *sensor) read(ctx context.Context) error {
	if err := drivers.Transfer(ctx, &s.dev, nil, s.in[:]); err != nil {
		return err
	}
	return sensirion.Words(s.words[:], s.in[:])
}

// Start begins a measurement.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := sensirion.Insist(ctx, &s.dev, cmdMeasure, nil, measuring); err != nil {
		return 0, fmt.Errorf("start measurement: %w", err)
	}
	return measuring, nil
}

// Read gives what was measured. The chip does not acknowledge if it measured
// nothing, so that an old value is never taken for a new one (§4.4).
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.read(ctx); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	celsius := sensirion.Celsius(s.words[0])
	// The formula goes beyond what is physical at both ends, and the datasheet
	// advises to crop it (§4.6).
	humidity := min(max(-6+125*sensirion.Part(s.words[1]), 0), 100)
	doubt := ""
	switch {
	case s.words[1] == 0 || s.words[1] == math.MaxUint16:
		doubt = "clipped"
	case celsius < minCelsius || celsius > maxCelsius:
		doubt = "outside the range of the chip"
	}
	s.values[0] = drivers.Value{Quantity: "temperature", Value: celsius, Doubt: doubt}
	s.values[1] = drivers.Value{Quantity: "humidity", Value: humidity, Doubt: doubt}
	return s.values[:], nil
}

// Halt has nothing to do: between two measurements the chip sleeps.
func (s *sensor) Halt() error { return nil }
