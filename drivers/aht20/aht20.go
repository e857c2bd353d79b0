// Package aht20 reads Aosong's humidity and temperature sensor AHT20. Facts are
// from "AHT20 product manuals", version 1.1, and where that says less from the
// "DHT20 Data Sheet", version 1.0, May 2021: the DHT20 is the same chip in
// another case.
package aht20

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Commands (§5.3).
var (
	cmdStatus  = []byte{0x71}
	cmdInit    = []byte{0xbe, 0x08, 0x00}
	cmdMeasure = []byte{0xac, 0x33, 0x00}
)

const (
	measuring    = 80 * time.Millisecond // §5.4
	initializing = 10 * time.Millisecond
	// powerUp is how long the chip needs after its power came: 40 ms, 100 ms for
	// a DHT20.
	powerUp = 100 * time.Millisecond

	busy       = 0x80 // status (table 9)
	calibrated = 0x08
)

// What the chip is specified for (§1), and half a step of its signal.
const minCelsius, maxCelsius = -40 - 0.0001, 85 + 0.0001

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "aht20",
		Doc:        "AHT20 humidity and temperature sensor",
		Chips:      []string{"AHT20"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x38},
		Address:    0x38,
		Interval:   2 * time.Second, // more often it warms itself (§5.4)
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}, {Name: "humidity", Unit: "%RH"}},
		Lies: []drivers.Lie{{
			Name: "busy", Doc: "Old values while it still measures: bit 7 of the status (table 9).",
			Tell: func(c drivers.Chip) { c.(*chip).slow = true },
		}, {
			Name: "uncalibrated", Doc: "Values without its calibration: bit 3 of the status is 0 (table 9).",
			Tell: func(c drivers.Chip) { c.(*chip).calibrated = false },
		}, {
			Name: "not-measured", Doc: "-50 Cel and 0 %RH with a right checksum, before its first measurement since the power came.",
			Tell: func(c drivers.Chip) { c.(*chip).fails = true },
		}},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev    i2c.Dev
	in     [7]byte // of a visit, kept so that it allocates nothing
	values [2]drivers.Value
}

// open loads the calibration if it is not. A chip that does not acknowledge may
// be powering up, so it is asked once more.
func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	status, err := s.status(ctx)
	if errors.Is(err, drivers.ErrAbsent) {
		if err := drivers.Pause(ctx, powerUp); err != nil {
			return nil, err
		}
		status, err = s.status(ctx)
	}
	if err != nil {
		return nil, err
	}
	if status&calibrated != 0 {
		return s, nil
	}
	if err := drivers.Transfer(ctx, &s.dev, cmdInit, nil); err != nil {
		return nil, fmt.Errorf("load calibration: %w", err)
	}
	if err := drivers.Pause(ctx, initializing); err != nil {
		return nil, err
	}
	if status, err = s.status(ctx); err != nil {
		return nil, err
	}
	if status&calibrated == 0 {
		return nil, fmt.Errorf("status is %02x after the calibration was loaded: bit 3 says that it was not", status)
	}
	return s, nil
}

func (s *sensor) status(ctx context.Context) (byte, error) {
	if err := drivers.Transfer(ctx, &s.dev, cmdStatus, s.in[:1]); err != nil {
		return 0, fmt.Errorf("read status: %w", err)
	}
	return s.in[0], nil
}

// Start begins a measurement.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	if err := drivers.Transfer(ctx, &s.dev, cmdMeasure, nil); err != nil {
		return 0, fmt.Errorf("start measurement: %w", err)
	}
	return measuring, nil
}

// Read gives what was measured.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := drivers.Transfer(ctx, &s.dev, nil, s.in[:]); err != nil {
		return nil, fmt.Errorf("read measurement: %w", err)
	}
	if s.in[0]&busy != 0 { // the last measurement stands in the other bytes
		return nil, fmt.Errorf("status is %02x: it has not measured within %v", s.in[0], measuring)
	}
	if sum := drivers.CRC8(s.in[:6], 0x31, 0xff); sum != s.in[6] {
		return nil, fmt.Errorf("the measurement is %x with checksum %02x, want %02x: garbled", s.in[:6], s.in[6], sum)
	}
	if s.in[0]&calibrated == 0 {
		return nil, fmt.Errorf("status is %02x: it lost its calibration", s.in[0])
	}
	humidity := uint32(s.in[1])<<12 | uint32(s.in[2])<<4 | uint32(s.in[3])>>4
	celsius := uint32(s.in[3]&0xf)<<16 | uint32(s.in[4])<<8 | uint32(s.in[5])
	if humidity|celsius == 0 {
		return nil, errors.New("all bits are 0: it has not measured since its power came")
	}
	s.give(celsius, humidity)
	return s.values[:], nil
}

// give converts the two signals of 20 bits (§6.1, §6.2).
func (s *sensor) give(celsius, humidity uint32) {
	t := 200*float64(celsius)/(1<<20) - 50
	doubt := ""
	if t < minCelsius || t > maxCelsius {
		doubt = "outside the range of the chip"
	}
	s.values[0] = drivers.Value{Quantity: "temperature", Value: t, Doubt: doubt}
	s.values[1] = drivers.Value{Quantity: "humidity", Value: 100 * float64(humidity) / (1 << 20), Doubt: doubt}
}

// Halt has nothing to do: between two measurements the chip sleeps.
func (s *sensor) Halt() error { return nil }
