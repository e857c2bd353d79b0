// Package mcp9808 reads Microchip's temperature sensor MCP9808 (datasheet
// DS25095A).
package mcp9808

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (DS25095A 5.1): 16 bits, the high byte first; that of the
// resolution has 8.
const (
	regConfig     = 1
	regAmbient    = 5
	regMaker      = 6
	regDevice     = 7
	regResolution = 8
)

const (
	maker      = 0x0054
	device     = 0x04   // the high byte; the low one is the revision
	shutdown   = 0x0100 // of regConfig
	hysteresis = 0x0200 // of the alerts, 1.5 Cel
	resolution = 3      // 0.0625 Cel, as after power-up
)

// firstConversion is how long a conversion takes: 250 ms, typically (DS25095A
// table 5-5). Until then the chip says 0 °C.
const firstConversion = 350 * time.Millisecond

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "mcp9808",
		Doc:        "MCP9808 temperature sensor",
		Chips:      []string{"MCP9808"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f},
		Address:    0x18,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel", Decimals: 4}},
		Lies: []drivers.Lie{{
			Name: "zero", Doc: "0 °C until the first conversion after power-up is done (DS25095A 5.2.3).",
			Tell: func(c drivers.Chip) { c.Reset() },
		}, {
			Name: "shut-down", Doc: "The temperature of long ago while it is shut down (DS25095A 5.2.1).",
			Tell: func(c drivers.Chip) { c.(*chip).config |= shutdown; c.(*chip).frozen = 0x0123 },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev    i2c.Dev
	config uint16 // what the chip has; never 0, which it has after power-up
	fresh  bool   // not read since Open: may never have measured
	w      [3]byte
	r      [2]byte
	value  [1]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, fresh: true}
	for reg, want := range [2]uint16{maker, device << 8} {
		got, err := s.read(ctx, regMaker+byte(reg))
		if err != nil {
			return nil, fmt.Errorf("read the ids of the MCP9808: %w", err)
		}
		if reg == 1 {
			got &= 0xff00
		}
		if got != want {
			return nil, fmt.Errorf("id in register %d is 0x%04x, want 0x%04x: there is another chip than an MCP9808", regMaker+reg, got, want)
		}
	}
	if err := s.configure(ctx); err != nil {
		return nil, fmt.Errorf("configure the MCP9808: %w", err)
	}
	s.w = [3]byte{regResolution, resolution}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:2], nil); err != nil {
		return nil, fmt.Errorf("set the resolution of the MCP9808: %w", err)
	}
	return s, nil
}

// configure wakes the chip, and leaves the settings of the alerts as somebody
// may have made them. If none are made, the hysteresis of the alerts is the
// mark by which a chip is known that lost its power: it has no effect then.
func (s *sensor) configure(ctx context.Context) error {
	config, err := s.read(ctx, regConfig)
	if err != nil {
		return err
	}
	s.config = config &^ shutdown
	if s.config == 0 {
		s.config = hysteresis
	}
	if s.config == config {
		return nil
	}
	s.w = [3]byte{regConfig, byte(s.config >> 8), byte(s.config)}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
		return err
	}
	if config&shutdown == 0 {
		return nil
	}
	// What it says until a conversion is done is from before it was shut down.
	return drivers.Pause(ctx, firstConversion)
}

func (s *sensor) read(ctx context.Context, reg byte) (uint16, error) {
	s.w[0] = reg
	err := drivers.Transfer(ctx, &s.dev, s.w[:1], s.r[:])
	return binary.BigEndian.Uint16(s.r[:]), err
}

// Read gives the temperature of the last conversion.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	raw, err := s.ambient(ctx)
	if err != nil {
		return nil, err
	}
	if raw == 0 && s.fresh {
		// The power may have come just before Open: read again when even then the chip has measured.
		if err := drivers.Pause(ctx, firstConversion); err != nil {
			return nil, err
		}
		if raw, err = s.ambient(ctx); err != nil {
			return nil, err
		}
	}
	config, err := s.read(ctx, regConfig)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if config != s.config {
		return nil, fmt.Errorf("configuration is 0x%04x, want 0x%04x: its power failed, or somebody changed it", config, s.config)
	}
	s.fresh = false
	s.value[0] = drivers.Value{Quantity: "temperature", Value: float64(raw) / 16}
	if raw < -40*16 || raw > 125*16 {
		s.value[0].Doubt = "outside of what the chip can measure"
	}
	return s.value[:], nil
}

// ambient gives the temperature in sixteenths of 1 Cel: 13 bits with a sign,
// below three flags of alerts (DS25095A 5.1.3).
func (s *sensor) ambient(ctx context.Context) (int16, error) {
	raw, err := s.read(ctx, regAmbient)
	if err != nil {
		return 0, fmt.Errorf("read temperature: %w", err)
	}
	return int16(raw<<3) >> 3, nil
}

// Halt has nothing to do: the chip takes 200 µA and drives nothing that the
// driver switched on.
func (s *sensor) Halt() error { return nil }
