// Package max31865 reads platinum resistance thermometers, Pt100 and Pt1000,
// with Maxim's MAX31865 (datasheet 19-6478 Rev 3). The temperature is that of
// IEC 60751.
//
// Each visit looks for faults of the wires and makes one measurement; in
// between no current heats the sensor.
package max31865

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (19-6478 table 1). They are written with the highest bit set.
const (
	regConfig = 0x00
	regRTD    = 0x01 // two bytes; then two thresholds of two bytes, and the faults
	regFaults = 0x07
	write     = 0x80
)

// Bits of the configuration (19-6478 table 2).
const (
	bias       = 0x80
	oneShot    = 0x20
	threeWire  = 0x10
	checkWires = 0x04 // automatic fault detection
	clearFault = 0x02
	filter50Hz = 0x01
)

// How long the bias needs on the usual boards, with 100 nF at the input; how
// long the check of the wires takes; and one measurement with the filter for
// 50 Hz (19-6478 "Electrical Characteristics", table 4).
const (
	biasTime   = 10 * time.Millisecond
	checkTime  = time.Millisecond
	conversion = 67 * time.Millisecond
)

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:     "max31865",
		Doc:      "MAX31865 for platinum thermometers Pt100 and Pt1000",
		Chips:    []string{"MAX31865"},
		Bus:      drivers.BusSPI,
		SPI:      drivers.SPI{Mode: spi.Mode1, Speed: physic.MegaHertz}, // mode 1 or 3, 5 MHz at most
		Interval: time.Second,
		Timeout:  time.Second,
		Quantities: []drivers.Quantity{
			{Name: "temperature", Unit: "Cel", Typical: 60}, {Name: "resistance", Unit: "Ohm", Typical: 123.2422},
		},
		Options: []drivers.Option{
			{Name: "nominal", Default: 100.0, OneOf: []any{100.0, 1000.0}, Doc: "Resistance of the thermometer at 0 °C in Ohm: 100 of a " +
				"Pt100, 1000 of a Pt1000."},
			{Name: "reference", Default: 430.0, Doc: "Resistance of the reference on the board in Ohm, usually 430 for a Pt100 and 4300 " +
				"for a Pt1000."},
			{Name: "wires", Default: int64(4), OneOf: []any{int64(2), int64(3), int64(4)}, Doc: "How many wires the thermometer has."},
		},
		Lies: []drivers.Lie{{
			Name: "open", Doc: "The highest temperature although a wire is broken: fault bit (19-6478 tables 7 and 8).",
			Tell: func(c drivers.Chip) { c.(*chip).wires = faultOpen },
		}, {
			Name: "shorted", Doc: "The lowest temperature although the wires touch each other.",
			Tell: func(c drivers.Chip) { c.(*chip).shorted = true },
		}, {
			Name: "never-measured", Doc: "0 until something was measured (19-6478 table 1).",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	conn               spi.Conn
	nominal, reference float64
	settings           byte
	pause              drivers.Pauser
	w, r               [9]byte
	values             [2]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{conn: t.SPI, nominal: t.Options["nominal"].(float64), reference: t.Options["reference"].(float64), settings: filter50Hz}
	if !(s.reference > s.nominal) {
		return nil, fmt.Errorf("reference = %v: it is a resistance in Ohm above that of the thermometer, %v", s.reference, s.nominal)
	}
	if t.Options["wires"].(int64) == 3 {
		s.settings |= threeWire
	}
	// The chip has no identity: it is one if it keeps what it is told.
	if err := s.configure(ctx, clearFault); err != nil {
		return nil, fmt.Errorf("look for a MAX31865: %w", err)
	}
	if err := s.registers(ctx); err != nil {
		return nil, fmt.Errorf("look for a MAX31865: %w", err)
	}
	return s, nil
}

// configure writes the settings and some bits more.
func (s *sensor) configure(ctx context.Context, bits byte) error {
	s.w[0], s.w[1] = write|regConfig, s.settings|bits
	if err := drivers.Transfer(ctx, s.conn, s.w[:2], s.r[:2]); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// registers reads all of them, behind one byte of nothing, and checks the
// configuration: without bits that clear themselves, and with or without bias.
func (s *sensor) registers(ctx context.Context) error {
	clear(s.w[:])
	if err := drivers.Transfer(ctx, s.conn, s.w[:], s.r[:]); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	switch config := s.r[1+regConfig]; {
	case allAre(s.r[1:], 0), allAre(s.r[1:], 0xff):
		return fmt.Errorf("all bits are %d, as on a line that nobody drives: %w", s.r[1]&1, drivers.ErrAbsent)
	case config&^bias != s.settings:
		return fmt.Errorf("configuration is %02x, want %02x: its power failed, or there is another chip than a MAX31865", config, s.settings)
	}
	return nil
}

func allAre(p []byte, b byte) bool {
	for _, v := range p {
		if v != b {
			return false
		}
	}
	return true
}

// Start looks for faults of the wires, and begins a measurement.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := s.configure(ctx, bias|clearFault); err != nil {
		return 0, err
	}
	if err := s.pause.Pause(ctx, biasTime); err != nil {
		return 0, err
	}
	if err := s.configure(ctx, bias|checkWires); err != nil {
		return 0, err
	}
	if err := s.pause.Pause(ctx, checkTime); err != nil {
		return 0, err
	}
	return conversion, s.configure(ctx, bias|oneShot)
}

// Read gives what was measured since Start.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.registers(ctx); err != nil {
		return nil, err
	}
	if s.r[1+regConfig]&bias == 0 {
		return nil, errors.New("the bias is off: the power of the chip failed")
	}
	rtd, faults := binary.BigEndian.Uint16(s.r[1+regRTD:]), s.r[1+regFaults]
	if err := s.configure(ctx, 0); err != nil { // no current until the next visit
		return nil, err
	}
	if rtd&1 != 0 || faults != 0 {
		return nil, explain(faults)
	}
	raw := rtd >> 1
	switch {
	case raw == 0:
		return nil, errors.New("the resistance is 0: the wires touch each other, or nothing was measured")
	case raw == 0x7fff:
		return nil, errors.New("the resistance is above the reference: a wire is broken, or option \"reference\" is wrong")
	}
	ohm := float64(raw) * s.reference / 32768
	cel := celsius(ohm / s.nominal)
	s.values[0] = drivers.Value{Quantity: "temperature", Value: cel}
	s.values[1] = drivers.Value{Quantity: "resistance", Value: ohm}
	if cel < -200 || cel > 850 {
		s.values[0].Doubt = "outside of what IEC 60751 defines: look at the wires, and at the options \"nominal\" and \"reference\""
		s.values[1].Doubt = s.values[0].Doubt
	}
	return s.values[:], nil
}

// Bits of the faults (19-6478 table 7).
const (
	faultHigh    = 0x80
	faultLow     = 0x40
	faultOpen    = 0x38 // REFIN-, in one of two ways, or RTDIN-
	faultVoltage = 0x04
)

// explain says what the check of the wires found.
func explain(faults byte) error {
	switch {
	case faults&faultVoltage != 0:
		return fmt.Errorf("a wire has a voltage that it cannot have: look for moisture and wrong wires (faults %02x)", faults)
	case faults&faultOpen != 0:
		return fmt.Errorf("a wire is broken or not connected (faults %02x)", faults)
	case faults&(faultHigh|faultLow) != 0:
		return fmt.Errorf("the resistance is beyond a threshold that somebody set (faults %02x)", faults)
	}
	return fmt.Errorf("the chip says that its measurement is faulty (faults %02x)", faults)
}

// Halt takes the current from the sensor. A chip that does not answer has none,
// or nothing can be done about it.
func (s *sensor) Halt() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.configure(ctx, 0)
	return nil
}
