// Package dps310 reads Infineon's pressure sensor DPS310 (datasheet DPS310,
// V1.2). Each visit makes the chip measure temperature and pressure, and stops
// it again.
package dps310

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (V1.2 table 15, and section 8 bit by bit).
const (
	regPressure     = 0x00 // 3 bytes, the highest first; 3 of temperature after them
	regPressureSet  = 0x06
	regTemperature  = 0x07 // its settings
	regMeasure      = 0x08
	regConfig       = 0x09
	regReset        = 0x0c
	regID           = 0x0d
	regCoefficients = 0x10 // 18 bytes
	regSource       = 0x28
)

// Bits of the registers, and the id: product 0, revision 1.
const (
	id         = 0x10
	ready      = 0xf0 // of regMeasure: coefficients, sensor, temperature, pressure
	started    = 0xc0 // the first two
	background = 0x07 // temperature and pressure again and again
	control    = 0x07 // the bits of that
	external   = 0x80 // of regTemperature and regSource: the sensor beside that of pressure
	shift      = 0x04 // of regConfig: results are shifted, for more than 8 samples
)

// The temperature of some chips reads about 60 °C at 20 °C, because a fuse was
// not set. Infineon's own driver has this sequence (Infineon/DPS310-Pressure-
// Sensor, README, "Temperature measurement issue", and correctTemp). It is in no
// datasheet. Bit 1 of register 0x32 tells that it is not needed
// (openbmc/openbmc#2003, and the kernel's drivers/iio/pressure/dps310.c).
const (
	regFuse = 0x32
	fuseSet = 0x02
)

var fuseSequence = [5][2]byte{{0x0e, 0xa5}, {0x0f, 0x96}, {0x62, 0x02}, {0x0e, 0x00}, {0x0f, 0x00}}

// A precision is what the chip does for a number of samples (V1.2
// 4.9.3 for the scale, 8 for PRS_CFG and its times).
type precision struct {
	scale float64
	takes time.Duration
	rate  byte // 2 to the power of it, in a second: so fast that all fits
}

var precisions = [8]precision{
	{524288, 3600 * time.Microsecond, 5}, {1572864, 5200 * time.Microsecond, 5}, {3670016, 8400 * time.Microsecond, 5},
	{7864320, 14800 * time.Microsecond, 5}, {253952, 27600 * time.Microsecond, 4}, {516096, 53200 * time.Microsecond, 3},
	{1040384, 104400 * time.Microsecond, 2}, {2088960, 206800 * time.Microsecond, 1},
}

// wait is how long it takes until both are measured: a period, the two
// measurements, and a fifth more for the tolerance of the chip's clock.
func (p precision) wait() time.Duration {
	return (time.Second>>p.rate + p.takes + precisions[0].takes) * 6 / 5
}

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "dps310",
		Doc:        "DPS310 temperature and pressure sensor",
		Chips:      []string{"DPS310"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x76, 0x77},
		Address:    0x77,
		Identity:   []drivers.Identity{{Chip: "DPS310", Ask: []byte{regID}, Is: []byte{id}}},
		Interval:   10 * time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "pressure", Unit: "Pa"}},
		Options: []drivers.Option{{
			Name: "oversampling", Default: int64(8),
			OneOf: []any{int64(1), int64(2), int64(4), int64(8), int64(16), int64(32), int64(64), int64(128)},
			Doc:   "Samples of pressure for one value: noise falls with their number, and a measurement takes longer, 50 ms to 0.9 s.",
		}, {
			Name: "accept_id", Default: int64(id),
			Doc: "The id that the chip shall have, in its register 0x0d: 16. An emulated chip may have another.",
		}},
		Lies: []drivers.Lie{{
			Name: "not-measured", Doc: "The last values, or those of the reset, until a measurement is done: TMP_RDY and PRS_RDY (V1.2 section 8).",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}, {
			Name: "other-sensor", Doc: "A temperature of the sensor that the coefficients are not for: COEF_SRCE (V1.2 section 8).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regTemperature] ^= external },
		}, {
			Name: "fuse", Doc: "About 60 °C at 20 °C by chips with a fuse that was not set (README of Infineon's driver).",
			Test: "TestFuse",
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev          i2c.Dev
	precision    precision
	settings     [4]byte // registers 0x06 to 0x09, as they are when it rests
	coefficients coefficients

	// What a visit writes, reads and gives, kept so that it allocates nothing.
	w      [2]byte
	r      [6]byte
	values [2]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	if err := s.read(ctx, regID, s.r[:1]); err != nil {
		return nil, fmt.Errorf("read the id of the DPS310: %w", err)
	}
	if want := t.Options["accept_id"].(int64); int64(s.r[0]) != want {
		return nil, fmt.Errorf("id is 0x%02x, want 0x%02x: there is another chip than a DPS310", s.r[0], want)
	}
	if err := s.started(ctx); err != nil {
		return nil, err
	}
	if err := s.calibrate(ctx); err != nil {
		return nil, fmt.Errorf("read the coefficients of the DPS310: %w", err)
	}
	code := 0
	for 1<<code < t.Options["oversampling"].(int64) {
		code++
	}
	if err := s.configure(ctx, code); err != nil {
		return nil, fmt.Errorf("configure the DPS310: %w", err)
	}
	return s, nil
}

// started waits until the chip is: 40 ms after power-up at most (COEF_RDY, V1.2 section 8).
func (s *sensor) started(ctx context.Context) error {
	for range 6 {
		if err := s.read(ctx, regMeasure, s.r[:1]); err != nil {
			return fmt.Errorf("read the state of the DPS310: %w", err)
		}
		if s.r[0]&started == started {
			return nil
		}
		if err := drivers.Pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the DPS310 does not finish to start")
}

// calibrate reads the coefficients. Nothing checks them, so they are read twice.
func (s *sensor) calibrate(ctx context.Context) error {
	var read [2][18]byte
	for i := range read {
		if err := s.read(ctx, regCoefficients, read[i][:]); err != nil {
			return err
		}
	}
	if read[0] != read[1] {
		return errors.New("they were read twice and differed: the bus garbles")
	}
	s.coefficients = parse(read[0])
	return s.coefficients.check()
}

// configure stops the chip, and sets what it shall measure with.
func (s *sensor) configure(ctx context.Context, code int) error {
	if err := s.read(ctx, regFuse, s.r[:1]); err != nil {
		return err
	}
	if s.r[0]&fuseSet == 0 {
		for _, pair := range fuseSequence {
			if err := s.write(ctx, pair[0], pair[1]); err != nil {
				return err
			}
		}
	}
	if err := s.read(ctx, regSource, s.r[:1]); err != nil {
		return err
	}
	s.precision = precisions[code]
	rate := s.precision.rate << 4
	s.settings = [4]byte{rate | byte(code), s.r[0]&external | rate, started, 0}
	if code > 3 {
		s.settings[3] = shift
	}
	if err := s.control(ctx, 0); err != nil {
		return err
	}
	for _, reg := range []byte{regPressureSet, regTemperature, regConfig} {
		if err := s.write(ctx, reg, s.settings[reg-regPressureSet]); err != nil {
			return err
		}
	}
	return nil
}

// read reads registers in a row.
func (s *sensor) read(ctx context.Context, reg byte, p []byte) error {
	s.w[0] = reg
	return drivers.Transfer(ctx, &s.dev, s.w[:1], p)
}

func (s *sensor) write(ctx context.Context, reg, v byte) error {
	s.w = [2]byte{reg, v}
	return drivers.Transfer(ctx, &s.dev, s.w[:], nil)
}

// control tells the chip what to measure. The other bits are read only; they are
// written as they were read, because emulated chips keep what is written.
func (s *sensor) control(ctx context.Context, what byte) error {
	if err := s.read(ctx, regMeasure, s.r[:1]); err != nil {
		return err
	}
	return s.write(ctx, regMeasure, s.r[0]&^control|what)
}

// Start begins to measure. Reading the old values makes that new ones show.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := s.control(ctx, 0); err != nil {
		return 0, fmt.Errorf("stop the chip: %w", err)
	}
	if err := s.read(ctx, regPressure, s.r[:]); err != nil {
		return 0, fmt.Errorf("read the old values: %w", err)
	}
	if err := s.control(ctx, background); err != nil {
		return 0, fmt.Errorf("start a measurement: %w", err)
	}
	return s.precision.wait(), nil
}

// Read gives what was measured since Start.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.read(ctx, regMeasure, s.r[:1]); err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	state := s.r[0]
	// It is stopped first, so that both values are of one measurement. Their bits fall when they are read.
	if err := s.write(ctx, regMeasure, state&^control); err != nil {
		return nil, fmt.Errorf("stop the chip: %w", err)
	}
	if err := s.read(ctx, regPressure, s.r[:]); err != nil {
		return nil, fmt.Errorf("read the measurement: %w", err)
	}
	p, t := signed(s.r[0:3]), signed(s.r[3:6])
	if err := s.read(ctx, regPressureSet, s.r[:4]); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	s.r[2] &= started // the bits of values may stand or not
	switch got := [4]byte(s.r[:4]); {
	case state != ready|background:
		return nil, fmt.Errorf("the state is 0x%02x %v after the start, want 0x%02x", state, s.precision.wait(), ready|background)
	case got != s.settings:
		return nil, fmt.Errorf("settings are %x, want %x: its power failed, or somebody changed them", got, s.settings)
	case p == t: // after a reset, or on a bus that is stuck
		return nil, errors.New("the chip has not measured")
	}
	return s.convert(t, p), nil
}

// convert makes values of raw ones, and doubts those outside of what the chip
// is specified for: 300 to 1200 hPa, -40 to 85 Cel (V1.2, page 1).
func (s *sensor) convert(t, p int32) []drivers.Value {
	tsc := float64(t) / precisions[0].scale // one sample
	psc := float64(p) / s.precision.scale
	s.values[0] = drivers.Value{Quantity: "temperature", Value: s.coefficients.temperature(tsc)}
	s.values[1] = drivers.Value{Quantity: "pressure", Value: s.coefficients.pressure(psc, tsc)}
	for i, limits := range [2][2]float64{{-40, 85}, {30000, 120000}} {
		if v := &s.values[i]; v.Value < limits[0] || v.Value > limits[1] {
			v.Doubt = "outside of what the chip can measure"
		}
	}
	if s.values[0].Doubt != "" { // the pressure is compensated with it
		s.values[1].Doubt = s.values[0].Doubt
	}
	return s.values[:]
}

// Halt has nothing to do: the chip rests after each visit.
func (s *sensor) Halt() error { return nil }
