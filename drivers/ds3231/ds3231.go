// Package ds3231 reads the temperature of Maxim's clock chip DS3231 (datasheet
// 19-5170 Rev 10). The time of the chip is the kernel's affair: nothing is
// written here. It works beside the kernel's driver.
package ds3231

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (19-5170 figure 1). The pointer goes from the last to the first.
const (
	regDay    = 0x03 // then date, month, year: no clock has 0 there
	regStatus = 0x0f
	regTemp   = 0x11 // two bytes
	registers = 0x13
)

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "ds3231",
		Doc:        "DS3231 clock chip, its temperature",
		Chips:      []string{"DS3231"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x68},
		Address:    0x68,
		Interval:   time.Minute, // it measures every 64 s
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}},
		Lies: []drivers.Lie{{
			Name: "ram", Doc: "The memory of a DS1307, which has the same address and no temperature.",
			Test: "TestOtherChips",
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev   i2c.Dev
	w     [1]byte
	r     [4]byte
	value [1]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	if err := s.identify(ctx); err != nil {
		return nil, fmt.Errorf("look for a DS3231: %w", err)
	}
	return s, nil
}

// identify fails for a chip that is no DS3231. None of them has an id, and a
// DS1307 has memory where the temperature would be. But the pointer of a DS3231
// comes from the temperature to the time again, and only its own.
func (s *sensor) identify(ctx context.Context) error {
	var date, again [4]byte
	var around [registers - regTemp + regDay + 4]byte
	for range 2 { // in between it may have become midnight
		if err := s.read(ctx, regDay, date[:]); err != nil {
			return err
		}
		if err := s.read(ctx, regTemp, around[:]); err != nil {
			return err
		}
		again = [4]byte(around[registers-regTemp+regDay:])
		if date == again {
			break
		}
	}
	switch {
	case date != again:
		return errors.New("behind its temperature there is no time: there is another chip, perhaps a DS1307")
	case date[0] == 0 || date[0] > 7:
		return fmt.Errorf("its day of the week is %d: there is another chip, or it was never set", date[0])
	}
	return nil
}

func (s *sensor) read(ctx context.Context, reg byte, p []byte) error {
	s.w[0] = reg
	return drivers.Transfer(ctx, &s.dev, s.w[:], p)
}

// Read gives the temperature that the chip measured in the last 64 s.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.read(ctx, regStatus, s.r[:]); err != nil {
		return nil, fmt.Errorf("read temperature: %w", err)
	}
	status, high, low := s.r[0], s.r[2], s.r[3]
	if status&0x70 != 0 || low&0x3f != 0 {
		return nil, fmt.Errorf("status %02x and temperature %02x%02x have bits that are always 0: garbled, or another chip", status, high, low)
	}
	// Quarters of 1 Cel, left-justified, two's complement (19-5170 "Temperature Registers").
	s.value[0] = drivers.Value{Quantity: "temperature", Value: float64(int16(high)<<8|int16(low)) / 256}
	if v := s.value[0].Value; v < -40 || v > 85 {
		s.value[0].Doubt = "outside of what the chip can measure"
	}
	return s.value[:], nil
}

// Halt has nothing to do.
func (s *sensor) Halt() error { return nil }
