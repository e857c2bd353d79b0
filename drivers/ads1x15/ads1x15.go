// Package ads1x15 reads Texas Instruments' converters ADS1115 (16 bits;
// datasheet SBAS444D) and ADS1015 (12 bits; SBAS473E): four inputs against
// ground, or two pairs of inputs.
//
// Each value is one conversion of its own, and the chip sleeps in between.
package ads1x15

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (SBAS444D 9.6): 16 bits, the high byte first.
const (
	regConversion = 0
	regConfig     = 1
)

// Bits of the configuration (SBAS444D table 8).
const (
	idle       = 0x8000 // OS: written, it starts a conversion; read, none goes on
	muxShift   = 12
	gainShift  = 9
	single     = 0x0100 // MODE: one conversion, then sleep
	noAlert    = 0x0003 // COMP_QUE
	afterReset = 0x8583
)

// A model is what sets the rows of the table apart.
type model struct {
	name, title, doc string
	rate             uint16        // DR; another one than after reset, so that a chip that lost its power is noticed
	conversion       time.Duration // the longest at that rate, with the time to wake up
	low              uint16        // bits of the conversion that are always 0
	muxes            []uint16
	quantities       []string
}

var (
	inputs  = []uint16{4, 5, 6, 7}
	pairs   = []uint16{0, 3}
	single4 = []string{"voltage0", "voltage1", "voltage2", "voltage3"}
	double2 = []string{"voltage0-1", "voltage2-3"}

	// 250 samples a second, 10 % slower at most (SBAS444D 7.5).
	ads1115 = &model{name: "ads1115", title: "ADS1115", doc: "ADS1115 converter, four inputs against ground", rate: 5 << 5,
		conversion: 4500 * time.Microsecond, muxes: inputs, quantities: single4}
	ads1115Pairs = &model{name: "ads1115-pairs", title: "ADS1115", doc: "ADS1115 converter, inputs 0 minus 1 and 2 minus 3",
		rate: 5 << 5, conversion: 4500 * time.Microsecond, muxes: pairs, quantities: double2}
	// 920 samples a second (SBAS473E 7.5).
	ads1015 = &model{name: "ads1015", title: "ADS1015", doc: "ADS1015 converter, four inputs against ground", rate: 3 << 5,
		conversion: 1300 * time.Microsecond, low: 0x000f, muxes: inputs, quantities: single4}
	ads1015Pairs = &model{name: "ads1015-pairs", title: "ADS1015", doc: "ADS1015 converter, inputs 0 minus 1 and 2 minus 3",
		rate: 3 << 5, conversion: 1300 * time.Microsecond, low: 0x000f, muxes: pairs, quantities: double2}
)

// ADS1115 is the row for it with four inputs.
func ADS1115() drivers.Driver { return ads1115.row() }

// ADS1115Pairs is the row for it with two pairs of inputs.
func ADS1115Pairs() drivers.Driver { return ads1115Pairs.row() }

// ADS1015 is the row for it with four inputs.
func ADS1015() drivers.Driver { return ads1015.row() }

// ADS1015Pairs is the row for it with two pairs of inputs.
func ADS1015Pairs() drivers.Driver { return ads1015Pairs.row() }

// ranges are the full scales in V, in the order of PGA (SBAS444D table 8).
var ranges = []any{6.144, 4.096, 2.048, 1.024, 0.512, 0.256}

func (m *model) row() drivers.Driver {
	d := drivers.Driver{
		Name:      m.name,
		Doc:       m.doc,
		Chips:     []string{m.title},
		Bus:       drivers.BusI2C,
		Addresses: []uint16{0x48, 0x49, 0x4a, 0x4b},
		Address:   0x48,
		Interval:  time.Second,
		Timeout:   time.Second,
		Options: []drivers.Option{{
			Name: "range", Default: 4.096, OneOf: ranges,
			Doc: "The highest voltage that can be measured, in V. No input may be above the supply of the chip.",
		}},
		Lies: []drivers.Lie{{
			Name: "clipped", Doc: "0x7fff or 0x8000 when there is more than the range (SBAS444D 9.5.4).",
			Tell: func(c drivers.Chip) { c.(*chip).clipped = true },
		}, {
			Name: "old", Doc: "The value of the last input while a conversion goes on (SBAS444D 9.6.1).",
			Tell: func(c drivers.Chip) { c.(*chip).endless = true },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     m.open,
		Simulate: m.simulate,
	}
	for _, q := range m.quantities {
		d.Quantities = append(d.Quantities, drivers.Quantity{Name: q, Unit: "V"})
	}
	return d
}

type sensor struct {
	*model
	dev    i2c.Dev
	config uint16 // without the input
	lsb    float64
	pause  drivers.Pauser
	w      [3]byte
	r      [2]byte
	values [4]drivers.Value
}

func (m *model) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{model: m, dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	full := t.Options["range"].(float64)
	for gain, r := range ranges {
		if r == full {
			s.config = uint16(gain)<<gainShift | single | m.rate | noAlert
		}
	}
	if s.config == 0 {
		return nil, fmt.Errorf("range = %v: it is one of %v", full, ranges)
	}
	s.lsb = full / 32768
	// The chip has no identity: it is one if it keeps what it is told.
	if _, err := s.Start(ctx); err != nil {
		return nil, err
	}
	if err := drivers.Pause(ctx, m.conversion); err != nil {
		return nil, err
	}
	if _, err := s.convert(ctx, m.muxes[0]); err != nil {
		return nil, fmt.Errorf("look for an %s: %w", m.title, err)
	}
	return s, nil
}

// Start begins the conversion of the first input.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	return s.conversion, s.start(ctx, s.muxes[0])
}

func (s *sensor) start(ctx context.Context, mux uint16) error {
	config := idle | mux<<muxShift | s.config
	s.w = [3]byte{regConfig, byte(config >> 8), byte(config)}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
		return fmt.Errorf("start a conversion: %w", err)
	}
	return nil
}

// Read gives what Start began, and converts the other inputs.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	for i, mux := range s.muxes {
		if i > 0 {
			if err := s.start(ctx, mux); err != nil {
				return nil, err
			}
			if err := s.pause.Pause(ctx, s.conversion); err != nil {
				return nil, err
			}
		}
		raw, err := s.convert(ctx, mux)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.quantities[i], err)
		}
		s.values[i] = drivers.Value{Quantity: s.quantities[i], Value: float64(raw) * s.lsb}
		if raw >= math.MaxInt16-int16(s.low) || raw == math.MinInt16 {
			s.values[i].Doubt = "clipped: the voltage is beyond the range"
		}
	}
	return s.values[:len(s.muxes)], nil
}

// convert gives the conversion of an input, which must be over.
func (s *sensor) convert(ctx context.Context, mux uint16) (int16, error) {
	raw, err := s.read(ctx, regConversion)
	if err != nil {
		return 0, err
	}
	// Behind the value, so that a power failure before it is noticed.
	config, err := s.read(ctx, regConfig)
	if err != nil {
		return 0, err
	}
	want := mux<<muxShift | s.config
	switch {
	case config == want:
		return 0, fmt.Errorf("no conversion is ready %v after its start", s.conversion)
	case config != idle|want:
		return 0, fmt.Errorf("configuration is %04x, want %04x: its power failed, or there is another chip than an %s", config, idle|want,
			s.title)
	case raw&s.low != 0:
		return 0, fmt.Errorf("conversion is %04x, where the low bits are always 0: garbled, or an ADS1115", raw)
	}
	return int16(raw), nil
}

func (s *sensor) read(ctx context.Context, reg byte) (uint16, error) {
	s.w[0] = reg
	err := drivers.Transfer(ctx, &s.dev, s.w[:1], s.r[:])
	return binary.BigEndian.Uint16(s.r[:]), err
}

// Halt has nothing to do: the chip sleeps after each conversion.
func (s *sensor) Halt() error { return nil }
