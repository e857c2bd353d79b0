// Package sht3x reads Sensirion's humidity and temperature sensors SHT30, SHT31
// and SHT35. Facts are from the datasheet "SHT3x-DIS", version 5, May 2018.
package sht3x

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// Commands.
var (
	cmdMeasure   = []byte{0x24, 0x00} // single shot, high repeatability, no clock stretching (table 9)
	cmdBreak     = []byte{0x30, 0x93} // ends periodic measurement (§4.8)
	cmdHeaterOff = []byte{0x30, 0x66} // §4.10
	cmdStatus    = []byte{0xf3, 0x2d} // §4.11
)

const (
	// measuring is how long a measurement takes at most: 15 ms (table 4), and
	// a little more at a low supply.
	measuring = 16 * time.Millisecond
	// powerUp is longer than the chip needs after its power came: 1 ms (table 4).
	powerUp = 2 * time.Millisecond
	// cooling is how long the chip is warmer than the air after its heater
	// was on: more than seven times the 8 s that humidity takes to follow by
	// 63 % (table 1).
	cooling = time.Minute

	heaterOn = 1 << 13
	reserved = 1<<14 | 1<<12 | 1<<3 | 1<<2 // always 0 (table 18)
)

// What the chip is specified for (table 2), and half a step of its words.
const minCelsius, maxCelsius = -40 - 0.0014, 125 + 0.0014

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "sht3x",
		Doc:        "SHT30, SHT31, SHT35 humidity and temperature sensors",
		Chips:      []string{"SHT3x"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x44, 0x45},
		Address:    0x44,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "humidity", Unit: "%RH"}},
		Lies: []drivers.Lie{{
			Name: "heater", Doc: "The heater is on: the chip is some degrees warmer than the air (§4.10).",
			Tell: func(c drivers.Chip) { c.(*chip).setHeater(true) },
		}, {
			Name: "periodic", Doc: "Another program left it measuring by itself: it does not measure on request (§4.5).",
			Tell: func(c drivers.Chip) { c.(*chip).measureEvery(periods[0x20]) },
		}},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev    i2c.Dev
	warm   bool // the heater was on since Open
	warmAt time.Time
	in     [6]byte // of a visit, kept so that it allocates nothing
	words  [2]uint16
	values [2]drivers.Value
}

// open ends what another program may have begun, and checks that such a chip is
// there: its status has a checksum and bits that are always 0.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	if err := sensirion.Insist(ctx, &s.dev, cmdBreak, nil, powerUp); err != nil {
		return nil, fmt.Errorf("end periodic measurement: %w", err)
	}
	time.Sleep(time.Millisecond) // the break takes as long (§4.8)
	if _, err := s.status(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *sensor) status(ctx context.Context) (uint16, error) {
	if err := drivers.Transfer(ctx, &s.dev, cmdStatus, s.in[:3]); err != nil {
		return 0, fmt.Errorf("read status: %w", err)
	}
	if err := sensirion.Words(s.words[:1], s.in[:3]); err != nil {
		return 0, fmt.Errorf("read status: %w", err)
	}
	if s.words[0]&reserved != 0 {
		return 0, fmt.Errorf("status is %04x, where bits %04x are always 0: another chip", s.words[0], uint16(reserved))
	}
	return s.words[0], nil
}

// Start begins a measurement. One that is under way makes the chip deaf.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := sensirion.Insist(ctx, &s.dev, cmdMeasure, nil, measuring); err != nil {
		return 0, fmt.Errorf("start measurement: %w", err)
	}
	return measuring, nil
}

// Read gives what was measured. The chip does not acknowledge if it measured
// nothing, so that an old value is never taken for a new one (§4.4).
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := drivers.Transfer(ctx, &s.dev, nil, s.in[:]); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	if err := sensirion.Words(s.words[:], s.in[:]); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	celsius, humidity := sensirion.Celsius(s.words[0]), 100*sensirion.Part(s.words[1])
	if err := s.watchHeater(ctx); err != nil {
		return nil, err
	}
	doubt := ""
	switch {
	case s.warm && time.Since(s.warmAt) < cooling:
		doubt = "warmed by its heater"
	case celsius < minCelsius || celsius > maxCelsius:
		doubt = "outside the range of the chip"
	}
	s.values[0] = drivers.Value{Quantity: "temperature", Value: celsius, Doubt: doubt}
	s.values[1] = drivers.Value{Quantity: "humidity", Value: humidity, Doubt: doubt}
	return s.values[:], nil
}

// watchHeater switches the heater off if it is on.
func (s *sensor) watchHeater(ctx context.Context) error {
	status, err := s.status(ctx)
	if err != nil || status&heaterOn == 0 {
		return err
	}
	s.warm, s.warmAt = true, time.Now()
	if err := drivers.Transfer(ctx, &s.dev, cmdHeaterOff, nil); err != nil {
		return fmt.Errorf("switch the heater off: %w", err)
	}
	return nil
}

// Halt has nothing to do: between two measurements the chip sleeps.
func (s *sensor) Halt() error { return nil }
