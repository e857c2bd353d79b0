// Package bmx280 reads Bosch's BME280 (temperature, humidity, pressure;
// datasheet BST-BME280-DS002, here DS002) and BMP280 (temperature, pressure;
// BST-BMP280-DS001, here DS001). They share registers and formulas.
//
// Each visit makes one measurement in forced mode, and the chip sleeps in
// between: it neither heats itself nor shows an old value as a new one.
package bmx280

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (DS002 table 18, DS001 table 18).
const (
	regCalibration = 0x88 // 26 bytes, to 0xa1
	regID          = 0xd0
	regReset       = 0xe0
	regHumidity    = 0xe1 // 7 bytes of calibration, BME280 only
	regControlHum  = 0xf2 // BME280 only
	regStatus      = 0xf3
	regControl     = 0xf4
	regConfig      = 0xf5
	regData        = 0xf7 // 3 bytes of pressure, 3 of temperature, 2 of humidity
)

// Bits of the registers.
const (
	statusMeasuring = 0x08
	statusUpdate    = 0x01 // the calibration is being copied, after power-up
	modeSleep       = 0
	modeForced      = 1
	modeNormal      = 3
	times1          = 1 // oversampling
	times4          = 3
	settings        = times1<<5 | times4<<2 // of temperature and pressure
)

// skipped is what the data registers hold when nothing was measured: after
// power-up, and of what is switched off (DS002 4.3.2, 5.4.8; 0x8000 for humidity).
const skipped = 0x80000

// conversion is the longest time of one measurement: 1.25 + 2.3 x 1 + (2.3 x 4
// + 0.575) + (2.3 x 1 + 0.575) ms, rounded up (DS002 9.1). A BMP280 takes less.
const conversion = 17 * time.Millisecond

// A model is what sets the two chips apart.
type model struct {
	name     string
	ids      []byte // 0x56 and 0x57 are samples of the BMP280 (DS001 4.3.1)
	other    string // what to write for the other chip
	otherID  byte
	humidity bool
}

var (
	bme280 = &model{name: "BME280", ids: []byte{0x60}, other: "bmp280", otherID: 0x58, humidity: true}
	bmp280 = &model{name: "BMP280", ids: []byte{0x58, 0x56, 0x57}, other: "bme280", otherID: 0x60}
)

// BME280 is its row for the table.
func BME280() drivers.Driver { return bme280.row("BME280 temperature, humidity and pressure sensor") }

// BMP280 is its row for the table.
func BMP280() drivers.Driver { return bmp280.row("BMP280 temperature and pressure sensor") }

// identity is what the register of the id holds.
func (m *model) identity() (all []drivers.Identity) {
	for _, id := range m.ids {
		all = append(all, drivers.Identity{Chip: m.name, Ask: []byte{regID}, Is: []byte{id}})
	}
	return all
}

func (m *model) row(doc string) drivers.Driver {
	d := drivers.Driver{
		Doc:        doc,
		Chips:      []string{m.name},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x76, 0x77},
		Address:    0x76,
		Identity:   m.identity(),
		Interval:   10 * time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "pressure", Unit: "Pa"}},
		Lies: []drivers.Lie{{
			Name: "skipped", Doc: "0x80000 in the data registers until something was measured (DS002 5.4.8).",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}, {
			Name: "busy", Doc: "The last values while a measurement goes on: status bit 3 (DS002 5.4.4).",
			Tell: func(c drivers.Chip) { c.(*chip).endless = true },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     m.open,
		Simulate: m.simulate,
	}
	d.Name = map[*model]string{bme280: "bme280", bmp280: "bmp280"}[m]
	if m.humidity {
		d.Quantities = append(d.Quantities, drivers.Quantity{Name: "humidity", Unit: "%RH"})
	}
	return d
}

type sensor struct {
	*model
	dev         i2c.Dev
	calibration calibration

	// What a visit writes, reads and gives, kept so that it allocates nothing.
	start  [4]byte
	reg    [1]byte
	data   [regData + 8 - regControlHum]byte
	values [3]drivers.Value
}

func (m *model) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{model: m, dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	if err := s.calibrate(ctx); err != nil {
		return nil, fmt.Errorf("read the calibration of the %s: %w", m.name, err)
	}
	return s, nil
}

// identify fails if it is another chip.
func (s *sensor) identify(ctx context.Context) error {
	id := s.data[:1]
	if err := s.read(ctx, regID, id); err != nil {
		return fmt.Errorf("read the id of the %s: %w", s.name, err)
	}
	for _, want := range s.ids {
		if id[0] == want {
			return nil
		}
	}
	if id[0] == s.otherID {
		return fmt.Errorf("id is 0x%02x, not that of a %s: write driver = %q", id[0], s.name, s.other)
	}
	return fmt.Errorf("id is 0x%02x, want 0x%02x: there is another chip than a %s", id[0], s.ids[0], s.name)
}

// calibrate reads the factory's calibration. Nothing checks it, and one wrong
// bit would spoil all values until the next opening: so it is read twice.
func (s *sensor) calibrate(ctx context.Context) error {
	// For 2 ms after power-up the chip copies it into its registers.
	for range 3 {
		if err := s.read(ctx, regStatus, s.data[:1]); err != nil {
			return err
		}
		if s.data[0]&statusUpdate == 0 {
			break
		}
		if err := drivers.Pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	if s.data[0]&statusUpdate != 0 {
		return errors.New("the chip does not finish to load it")
	}
	first, err := s.readCalibration(ctx)
	if err != nil {
		return err
	}
	if s.calibration, err = s.readCalibration(ctx); err != nil {
		return err
	}
	if first != s.calibration {
		return errors.New("it was read twice and differed: the bus garbles")
	}
	return s.calibration.check(s.humidity)
}

func (s *sensor) readCalibration(ctx context.Context) (calibration, error) {
	var tp [26]byte
	var h [7]byte
	if err := s.read(ctx, regCalibration, tp[:]); err != nil {
		return calibration{}, err
	}
	if s.humidity {
		if err := s.read(ctx, regHumidity, h[:]); err != nil {
			return calibration{}, err
		}
	}
	return parse(tp, h), nil
}

// read reads registers in a row.
func (s *sensor) read(ctx context.Context, reg byte, p []byte) error {
	s.reg[0] = reg
	return drivers.Transfer(ctx, &s.dev, s.reg[:], p)
}

// Start begins a measurement. The settings are written each time, so a chip
// that lost its power in between does not matter.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	// Register and value by turns (DS002 6.2.1). That of humidity has its effect with the next write to regControl.
	s.start = [4]byte{regControlHum, times1, regControl, settings | modeForced}
	w := s.start[:]
	if !s.humidity {
		w = w[2:]
	}
	if err := drivers.Transfer(ctx, &s.dev, w, nil); err != nil {
		return 0, fmt.Errorf("start a measurement: %w", err)
	}
	return conversion, nil
}

// Read gives what was measured since Start.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	// Settings, status and data in one go: the chip keeps data of one measurement together (DS002 4).
	from := regControlHum
	if !s.humidity {
		from = regStatus
	}
	if err := s.read(ctx, byte(from), s.data[from-regControlHum:regData+s.length()-regControlHum]); err != nil {
		return nil, fmt.Errorf("read the measurement: %w", err)
	}
	at := func(reg int) byte { return s.data[reg-regControlHum] }
	switch {
	case at(regStatus)&(statusMeasuring|statusUpdate) != 0:
		return nil, fmt.Errorf("the measurement is not ready %v after its start", conversion)
	case at(regControl) != settings|modeSleep, s.humidity && at(regControlHum)&7 != times1:
		return nil, errors.New("settings are gone: the power of the chip failed")
	}
	p := int32(at(regData))<<12 | int32(at(regData+1))<<4 | int32(at(regData+2))>>4
	t := int32(at(regData+3))<<12 | int32(at(regData+4))<<4 | int32(at(regData+5))>>4
	h := int32(at(regData+6))<<8 | int32(at(regData+7))
	if p == skipped || t == skipped || s.humidity && h == skipped>>4 {
		return nil, errors.New("the chip has not measured yet")
	}
	return s.convert(t, p, h), nil
}

// length is how many bytes of data there are.
func (s *sensor) length() int {
	if s.humidity {
		return 8
	}
	return 6
}

// convert makes values of raw ones, and doubts those outside of what the chip
// is specified for (DS002 tables 1 to 4).
func (s *sensor) convert(t, p, h int32) []drivers.Value {
	cel, fine := s.calibration.temperature(t)
	s.values[0] = drivers.Value{Quantity: "temperature", Value: cel}
	s.values[1] = drivers.Value{Quantity: "pressure", Value: s.calibration.pressure(p, fine)}
	s.values[2] = drivers.Value{Quantity: "humidity", Value: s.calibration.humidity(h, fine)}
	// 5 %RH is more than tolerance and drift of the chip; beyond, its sensing element or the bus is faulty.
	for i, limits := range [3][2]float64{{-40, 85}, {30000, 110000}, {-5, 105}} {
		if v := &s.values[i]; v.Value < limits[0] || v.Value > limits[1] || v.Value != v.Value {
			v.Doubt = "outside of what the chip can measure"
		}
	}
	if !s.humidity {
		return s.values[:2]
	}
	s.values[2].Value = min(max(s.values[2].Value, 0), 100)
	return s.values[:]
}

// Halt has nothing to do: the chip sleeps after each measurement.
func (s *sensor) Halt() error { return nil }
