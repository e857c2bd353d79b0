// Package sgp40 reads the raw signal of Sensirion's gas sensor SGP40: ticks that
// fall when there are more volatile organic compounds in the air. It makes no
// index of them. Facts are from the datasheet "SGP40", version 1.0, July 2020,
// and version 1.1, September 2021.
//
// The sensor is a hot plate, and nothing in its answers tells whether it is hot
// yet. So the driver gives no value in the first minute after it was opened. If
// the power fails between two visits so shortly that no transfer fails, the
// values of the next minute are too low, and nothing shows it.
package sgp40

import (
	"context"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// Commands (table 8, and version 1.1 for the serial number).
var (
	// Measure without compensation: the humidity of 50 % and the temperature of
	// 25 °C that switch it off (table 9).
	cmdMeasure = []byte{0x26, 0x0f, 0x80, 0x00, 0xa2, 0x66, 0x66, 0x93}
	cmdSerial  = []byte{0x36, 0x82}
)

const (
	measuring = 30 * time.Millisecond // at most (table 8)
	powerUp   = 2 * time.Millisecond  // longer than 0.6 ms (table 3)
	// warming is how long the hot plate takes until the sensor notices
	// something: "switch-on behavior < 60 s" (table 1).
	warming = time.Minute
)

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "sgp40",
		Doc:        "SGP40 gas sensor: its raw signal, without an index",
		Chips:      []string{"SGP40"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x59},
		Address:    0x59,
		Interval:   time.Second, // §3.1
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "voc_raw", Unit: "count", Typical: 30000}},
		Lies: []drivers.Lie{{
			Name: "cold", Doc: "Too few ticks until its hot plate is hot (table 1: 60 s).",
			Test: "TestNoValueInTheFirstMinute",
		}, {
			Name: "rails", Doc: "The smallest or largest signal: clipped.",
			Tell: func(c drivers.Chip) { c.(*chip).clipped = true },
		}},
		Blind:    []string{"BrownOut"},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev   i2c.Dev
	hot   bool    // the hot plate was on for a minute
	in    [9]byte // of a visit, kept so that it allocates nothing
	words [3]uint16
	value [1]drivers.Value
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
	if err := s.read(ctx, 3); err != nil {
		return nil, fmt.Errorf("read serial number: %w", err)
	}
	return s, nil
}

// read takes n words from the chip.
func (s *sensor) read(ctx context.Context, n int) error {
	in := s.in[:sensirion.Length(n)]
	if err := drivers.Transfer(ctx, &s.dev, nil, in); err != nil {
		return err
	}
	return sensirion.Words(s.words[:n], in)
}

// Start begins a measurement. The first switches the hot plate on, and is
// waited for until it is hot.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := sensirion.Insist(ctx, &s.dev, cmdMeasure, nil, measuring); err != nil {
		return 0, fmt.Errorf("start measurement: %w", err)
	}
	if !s.hot {
		return warming, nil
	}
	return measuring, nil
}

// Read gives what was measured. What the first Start measured is too old when
// the plate is hot, and is measured again.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if !s.hot {
		if err := drivers.Transfer(ctx, &s.dev, cmdMeasure, nil); err != nil {
			return nil, fmt.Errorf("start measurement: %w", err)
		}
		if err := drivers.Pause(ctx, measuring); err != nil {
			return nil, err
		}
	}
	if err := s.read(ctx, 1); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	s.hot = true
	doubt := ""
	if s.words[0] == 0 || s.words[0] == math.MaxUint16 {
		doubt = "clipped"
	}
	s.value[0] = drivers.Value{Quantity: "voc_raw", Value: float64(s.words[0]), Doubt: doubt}
	return s.value[:], nil
}

// Halt leaves the hot plate on, which takes 3 mA: what is hot stays hot for the
// daemon that comes next.
func (s *sensor) Halt() error { return nil }
