// Package bmp3xx reads Bosch's pressure sensors BMP388 (datasheet
// BST-BMP388-DS001, here DS001) and BMP390 (BST-BMP390-DS002, here DS002). They
// share registers and formulas.
//
// Each visit makes one measurement in forced mode, and the chip sleeps in
// between.
package bmp3xx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (DS001 4.2). None beyond regEvent is read in one go with those
// before: at 0x14 is the FIFO, where the address does not count on.
const (
	regID          = 0x00
	regErrors      = 0x02
	regStatus      = 0x03
	regPressure    = 0x04 // 3 bytes, the lowest first
	regTemperature = 0x07 // 3 bytes
	regEvent       = 0x10
	regPower       = 0x1b
	regSampling    = 0x1c
	regRate        = 0x1d
	regFilter      = 0x1f
	regCalibration = 0x31 // 21 bytes
	regCommand     = 0x7e
)

// Bits of the registers (DS001 4.3).
const (
	errorsAny   = 0x07 // fatal, command, configuration
	statusReady = 0x60 // pressure and temperature were measured and not read since
	eventPower  = 0x01 // the power came; reading clears it
	measureBoth = 0x03
	modeForced  = 0x10
	modeNormal  = 0x30
	modeBits    = 0x30
	oversample  = 2 // pressure 4 times, temperature once
	resetNow    = 0xb6
)

// conversion is the time for one measurement: 234 + 392 + 4 x 2020 + 163 + 2020
// µs for a BMP390 (DS002 3.9.2), 50 µs more for a BMP388 (DS001 3.9.2), and a
// quarter for the tolerance of the chip's clock.
const conversion = 14 * time.Millisecond

// A model is what sets the chips apart.
type model struct {
	name string
	id   byte
}

var (
	bmp388 = &model{name: "BMP388", id: 0x50}
	bmp390 = &model{name: "BMP390", id: 0x60}
)

// BMP388 is its row for the table.
func BMP388() drivers.Driver { return bmp388.row("bmp388", "BMP388 temperature and pressure sensor") }

// BMP390 is its row for the table.
func BMP390() drivers.Driver { return bmp390.row("bmp390", "BMP390 temperature and pressure sensor") }

func (m *model) row(name, doc string) drivers.Driver {
	return drivers.Driver{
		Name:       name,
		Doc:        doc,
		Chips:      []string{m.name},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x76, 0x77},
		Address:    0x77,
		Identity:   []drivers.Identity{{Chip: m.name, Ask: []byte{regID}, Is: []byte{m.id}}},
		Interval:   10 * time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "pressure", Unit: "Pa"}},
		Lies: []drivers.Lie{{
			Name: "not-measured", Doc: "0x800000 in the data registers until something was measured (DS001 4.3).",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}, {
			Name: "busy", Doc: "The last values while a measurement goes on: no bit of data-ready (DS001 4.3).",
			Tell: func(c drivers.Chip) { c.(*chip).endless = true },
		}, {
			Name: "error", Doc: "Values beside a bit of fatal or configuration error (DS001 4.3).",
			Tell: func(c drivers.Chip) { c.(*chip).regs[regErrors] = 0x04 },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     m.open,
		Simulate: m.simulate,
	}
}

type sensor struct {
	*model
	dev         i2c.Dev
	calibration calibration

	// What a visit writes, reads and gives, kept so that it allocates nothing.
	w      [6]byte
	data   [regEvent + 1 - regErrors]byte
	set    [regFilter + 1 - regPower]byte
	values [2]drivers.Value
}

func (m *model) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{model: m, dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	if err := s.read(ctx, regID, s.data[:1]); err != nil {
		return nil, fmt.Errorf("read the id of the %s: %w", m.name, err)
	}
	for _, other := range []*model{bmp388, bmp390} {
		if s.data[0] == other.id && other != m {
			return nil, fmt.Errorf("id is 0x%02x: there is a %s, not a %s", s.data[0], other.name, m.name)
		}
	}
	if s.data[0] != m.id {
		return nil, fmt.Errorf("id is 0x%02x, want 0x%02x: there is another chip than a %s", s.data[0], m.id, m.name)
	}
	// From here on a new power-up shows.
	if err := s.read(ctx, regEvent, s.data[:1]); err != nil {
		return nil, fmt.Errorf("read the events of the %s: %w", m.name, err)
	}
	if err := s.calibrate(ctx); err != nil {
		return nil, fmt.Errorf("read the calibration of the %s: %w", m.name, err)
	}
	return s, nil
}

// calibrate reads the factory's calibration. Nothing checks it, and one wrong
// bit would spoil all values until the next opening: so it is read twice.
func (s *sensor) calibrate(ctx context.Context) error {
	var read [2][21]byte
	for i := range read {
		if err := s.read(ctx, regCalibration, read[i][:]); err != nil {
			return err
		}
	}
	if read[0] != read[1] {
		return errors.New("it was read twice and differed: the bus garbles")
	}
	s.calibration = parse(read[0])
	return s.calibration.check()
}

// read reads registers in a row.
func (s *sensor) read(ctx context.Context, reg byte, p []byte) error {
	s.w[0] = reg
	return drivers.Transfer(ctx, &s.dev, s.w[:1], p)
}

// Start begins a measurement. The settings are written each time, as register
// and value by turns (DS001 5.2).
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	s.w = [6]byte{regSampling, oversample, regFilter, 0, regPower, measureBoth | modeForced}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
		return 0, fmt.Errorf("start a measurement: %w", err)
	}
	return conversion, nil
}

// Read gives what was measured since Start.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	// Errors, status, data and events in one go: the chip keeps data of one measurement together (DS001 3.10).
	if err := s.read(ctx, regErrors, s.data[:]); err != nil {
		return nil, fmt.Errorf("read the measurement: %w", err)
	}
	if err := s.read(ctx, regPower, s.set[:]); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	at := func(reg int) byte { return s.data[reg-regErrors] }
	raw := func(reg int) uint32 { return uint32(at(reg)) | uint32(at(reg+1))<<8 | uint32(at(reg+2))<<16 }
	p, t := raw(regPressure), raw(regTemperature)
	switch {
	case at(regEvent)&eventPower != 0:
		// It may even be another chip of the same kind now, with another calibration.
		return nil, errors.New("the power of the chip failed")
	case at(regErrors)&errorsAny != 0:
		return nil, fmt.Errorf("the chip tells errors 0x%02x", at(regErrors))
	case at(regStatus)&statusReady != statusReady || s.set[0]&modeBits != 0:
		return nil, fmt.Errorf("the measurement is not ready %v after its start", conversion)
	case s.set[0] != measureBoth, s.set[regSampling-regPower] != oversample, s.set[regFilter-regPower] != 0:
		return nil, errors.New("settings are gone: the power of the chip failed, or somebody changed them")
	case p == notMeasured || t == notMeasured:
		return nil, errors.New("the chip has not measured yet")
	}
	return s.convert(t, p), nil
}

// convert makes values of raw ones, and doubts those outside of what the chip
// is specified for: -40 to 85 Cel, 300 to 1250 hPa (DS001, page 2).
func (s *sensor) convert(t, p uint32) []drivers.Value {
	cel := s.calibration.temperature(t)
	s.values[0] = drivers.Value{Quantity: "temperature", Value: cel}
	s.values[1] = drivers.Value{Quantity: "pressure", Value: s.calibration.pressure(p, cel)}
	for i, limits := range [2][2]float64{{-40, 85}, {30000, 125000}} {
		if v := &s.values[i]; !(v.Value >= limits[0] && v.Value <= limits[1]) {
			v.Doubt = "outside of what the chip can measure"
		}
	}
	if s.values[0].Doubt != "" { // the pressure is compensated with it
		s.values[1].Doubt = s.values[0].Doubt
	}
	return s.values[:]
}

// Halt has nothing to do: the chip sleeps after each measurement.
func (s *sensor) Halt() error { return nil }
