// Package bh1750 reads ROHM's illuminance sensor BH1750FVI. Facts are from the
// technical note "BH1750FVI", 2009.04, revision B.
//
// The chip has no identity, no status and no checksum: it says 0 when it is
// dark, and also when its power failed since the measurement began.
package bh1750

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Instructions (page 5). The chip takes one in a transfer (page 10).
const (
	powerOn    = 0x01
	resetData  = 0x07 // not taken in power-down mode
	timeHigh   = 0x40 // with the upper three bits of the measurement time register
	timeLow    = 0x60 // with the lower five
	oneTimeH   = 0x20 // then it goes to power-down mode by itself
	oneTimeH2  = 0x21 // in steps half as large
	usualTime  = 69   // the measurement time register after a reset (page 11)
	countPerLx = 1.2  // at the usual time, in the first mode (page 2)
)

// measuring is the longest measurement at the usual time (page 2: 180 ms).
const measuring = 180 * time.Millisecond

// A setting is how long and how finely the chip measures (page 11).
type setting struct {
	time byte // 31 to 254
	mode byte
}

// settings by the option "range".
var settings = map[string]setting{
	"normal":   {usualTime, oneTimeH},
	"sunlight": {31, oneTimeH},
	"dark":     {254, oneTimeH2},
}

// lux is what one count stands for.
func (s setting) lux() float64 {
	lx := usualTime / (countPerLx * float64(s.time))
	if s.mode == oneTimeH2 {
		lx /= 2
	}
	return lx
}

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "bh1750",
		Doc:        "BH1750 illuminance sensor",
		Chips:      []string{"BH1750"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x23, 0x5c},
		Address:    0x23,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "illuminance", Unit: "lx"}},
		Options: []drivers.Option{{
			Name: "range", Default: "normal", OneOf: []any{"normal", "sunlight", "dark"},
			Doc: "How much light there is: normal measures to 54,612 lx in steps of 0.8 lx, sunlight to 121,557 lx in steps of 1.9 lx, " +
				"dark to 7,417 lx in steps of 0.11 lx.",
		}},
		Lies: []drivers.Lie{{
			Name: "powered-down", Doc: "0 after its power failed: in power-down mode the data register keeps its reset value (page 5).",
			Tell: func(c drivers.Chip) { c.(*chip).fails = true },
		}, {
			Name: "clipped", Doc: "The largest count for all light beyond it.",
			Tell: func(c drivers.Chip) { c.(*chip).glare = true },
		}, {
			Name: "sensitivity", Doc: "Another program set another measurement time: every value has another scale (page 11).",
			Tell: func(c drivers.Chip) { c.(*chip).time = 200 },
		}},
		Blind:    []string{"FlippedBit"},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	setting
	dev   i2c.Dev
	dark  bool // the last measurement gave 0
	out   [1]byte
	in    [2]byte
	value [1]drivers.Value
}

// open checks what can be checked: the chip acknowledges, and its data register
// is 0 after a reset.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{setting: settings[t.Options["range"].(string)], dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	for _, instruction := range []byte{powerOn, resetData} {
		if err := s.send(ctx, instruction); err != nil {
			return nil, err
		}
	}
	count, err := s.count(ctx)
	if err != nil {
		return nil, err
	}
	if count != 0 {
		return nil, fmt.Errorf("the data register is %04x after a reset, want 0: another chip", count)
	}
	return s, nil
}

// Start sets everything anew, so that nothing depends on what the chip still
// knows, and begins one measurement. The data register is 0 until it is done.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	for _, instruction := range [...]byte{powerOn, resetData, timeHigh | s.time>>5, timeLow | s.time&0x1f, s.mode} {
		if err := s.send(ctx, instruction); err != nil {
			return 0, err
		}
	}
	return measuring * time.Duration(s.time) / usualTime, nil
}

func (s *sensor) send(ctx context.Context, instruction byte) error {
	s.out[0] = instruction
	if err := drivers.Transfer(ctx, &s.dev, s.out[:], nil); err != nil {
		return fmt.Errorf("send instruction %02x: %w", instruction, err)
	}
	return nil
}

func (s *sensor) count(ctx context.Context) (uint16, error) {
	if err := drivers.Transfer(ctx, &s.dev, nil, s.in[:]); err != nil {
		return 0, fmt.Errorf("read illuminance: %w", err)
	}
	return binary.BigEndian.Uint16(s.in[:]), nil
}

// Read gives what was measured. The first 0 is doubted: darkness comes twice,
// and a power failure in the middle of a measurement does not.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	count, err := s.count(ctx)
	if err != nil {
		return nil, err
	}
	doubt := ""
	switch {
	case count == 0 && !s.dark:
		doubt = "dark, or its power failed"
	case count == 0xffff:
		doubt = "clipped"
	}
	s.dark = count == 0
	s.value[0] = drivers.Value{Quantity: "illuminance", Value: float64(count) * s.lux(), Doubt: doubt}
	return s.value[:], nil
}

// Halt has nothing to do: after a measurement the chip is in power-down mode.
func (s *sensor) Halt() error { return nil }
