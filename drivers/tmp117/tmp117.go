// Package tmp117 reads Texas Instruments' temperature sensor TMP117 (datasheet
// SNOSD82). Each visit makes one measurement of eight samples, and the chip
// sleeps in between.
package tmp117

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (SNOSD82 table 7-3): 16 bits, the high byte first.
const (
	regTemp   = 0x00
	regConfig = 0x01
	regID     = 0x0f
)

const (
	id        = 0x0117 // the low twelve bits
	dataReady = 0x2000
	oneShot   = 0x0c00 // MOD 11
	sleeping  = 0x0400 // MOD 01: where it goes after one shot
	average8  = 0x0020 // AVG 01
	mode      = 0x0fe0 // MOD, CONV, AVG: what a visit sets
	never     = 0x8000 // the temperature register until something was measured
)

// conversion is the longest time of eight samples: 8 x 17.5 ms (SNOSD82 6.5).
const conversion = 145 * time.Millisecond

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "tmp117",
		Doc:        "TMP117 precise temperature sensor",
		Chips:      []string{"TMP117"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x48, 0x49, 0x4a, 0x4b},
		Address:    0x48,
		Identity:   []drivers.Identity{{Chip: "TMP117", Ask: []byte{regID}, Is: []byte{id >> 8, id & 0xff}, Mask: []byte{0x0f, 0xff}}},
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel", Decimals: 7}},
		Lies: []drivers.Lie{{
			Name: "never-measured", Doc: "-256 °C until the first conversion is done (SNOSD82 7.6.2).",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}, {
			Name: "old", Doc: "The last temperature while a conversion goes on: Data_Ready is 0 (SNOSD82 7.6.3).",
			Tell: func(c drivers.Chip) { c.(*chip).endless = true },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev   i2c.Dev
	w     [3]byte
	r     [2]byte
	value [1]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	got, err := s.read(ctx, regID)
	if err != nil {
		return nil, fmt.Errorf("read the id of the TMP117: %w", err)
	}
	if got&0x0fff != id {
		return nil, fmt.Errorf("id is 0x%04x, want 0x%04x: there is another chip than a TMP117", got, id)
	}
	return s, nil
}

func (s *sensor) read(ctx context.Context, reg byte) (uint16, error) {
	s.w[0] = reg
	err := drivers.Transfer(ctx, &s.dev, s.w[:1], s.r[:])
	return binary.BigEndian.Uint16(s.r[:]), err
}

// Start begins one measurement. The settings are written each time, so a chip
// that lost its power in between does not matter.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	const config = oneShot | average8
	s.w = [3]byte{regConfig, config >> 8, config & 0xff}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
		return 0, fmt.Errorf("start a measurement: %w", err)
	}
	return conversion, nil
}

// Read gives the temperature that was measured since Start.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	// Before the temperature: reading either of them takes the flag away.
	config, err := s.read(ctx, regConfig)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	switch {
	case config&mode != sleeping|average8 && config&mode != oneShot|average8:
		return nil, fmt.Errorf("configuration is 0x%04x: the power of the chip failed", config)
	case config&dataReady == 0:
		return nil, fmt.Errorf("no measurement is ready %v after its start", conversion)
	}
	raw, err := s.read(ctx, regTemp)
	if err != nil {
		return nil, fmt.Errorf("read temperature: %w", err)
	}
	if raw == never {
		return nil, fmt.Errorf("the chip has not measured yet")
	}
	// Steps of 7.8125 mCel, which is 1/128 (SNOSD82 7.3.1).
	s.value[0] = drivers.Value{Quantity: "temperature", Value: float64(int16(raw)) / 128}
	if v := s.value[0].Value; v < -55 || v > 150 {
		s.value[0].Doubt = "outside of what the chip can measure"
	}
	return s.value[:], nil
}

// Halt has nothing to do: the chip sleeps after each measurement.
func (s *sensor) Halt() error { return nil }
