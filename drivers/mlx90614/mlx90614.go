// Package mlx90614 reads Melexis' infrared thermometer MLX90614 (datasheet
// 3901090614, Rev 008 and Rev 004; application note 390119061402, "SMBus communication with
// MLX90614"). It writes nothing: settings are in the chip's EEPROM, which stands
// few writes.
//
// The chip goes no faster than 100 kHz. One that was put to sleep answers
// nothing: only a pulse of 33 ms on SDA wakes it, or its supply.
package mlx90614

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Commands: words of RAM, and those of EEPROM with bit 5 (Rev 004 8.4.6, Rev 008 8.3.4).
const (
	wordAmbient = 0x06
	wordObject  = 0x07
	wordAddress = 0x2e // the chip's own address, in the low byte
)

// Bounds of words (Rev 004 8.4.6) and of the temperature of the chip itself.
const (
	errorFlag   = 0x8000
	lowObject   = 0x27ad // -70.01 Cel
	highObject  = 0x7fff // 382.19 Cel, and all above
	lowAmbient  = 11658  // -40 Cel
	highAmbient = 19907  // 125 Cel
)

// settling is the time from power-up to the first right words: 0.25 s,
// as the kernel's drivers/iio/temperature/mlx90614.c waits, and a fifth more.
const settling = 300 * time.Millisecond

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:  "mlx90614",
		Doc:   "MLX90614 infrared thermometer: what it looks at (temperature) and itself (ambient), one zone",
		Chips: []string{"MLX90614"},
		Bus:   drivers.BusI2C,
		// The factory's, and those that are usual where there are several.
		Addresses: []uint16{0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x58, 0x59},
		Address:   0x5a,
		Interval:  time.Second,
		Timeout:   time.Second,
		Quantities: []drivers.Quantity{
			{Name: "temperature", Unit: "Cel", Typical: 36.5}, {Name: "ambient", Unit: "Cel"},
		},
		Lies: []drivers.Lie{{
			Name: "error-flag", Doc: "A word with bit 15 when the chip could not calculate it (application note p. 14).",
			Tell: func(c drivers.Chip) { c.(*chip).flag = errorFlag },
		}, {
			Name: "clipped", Doc: "382.19 °C for all that is hotter (application note p. 14).",
			Tell: func(c drivers.Chip) { c.(*chip).hot = true },
		}, {
			Name: "not-measured", Doc: "0, or a wrong word, for 0.25 s after power-up (application note p. 14).",
			Test: "TestJustPowered",
		}, {
			Name: "asleep", Doc: "Nothing, or ones, when it was put to sleep (Rev 004 8.4.7).",
			Tell: func(c drivers.Chip) { c.(*chip).asleep = true },
		}},
		// A power that failed for a moment between two visits leaves no trace in what can be read.
		Blind:    []string{"BrownOut"},
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	dev    i2c.Dev
	w      [1]byte
	frame  [6]byte // all that passes in a reading: address, command, address, word, checksum
	values [2]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	own, err := s.word(ctx, wordAddress)
	if err != nil {
		return nil, fmt.Errorf("look for the MLX90614: %w", err)
	}
	if own&0x7f != t.Address {
		return nil, fmt.Errorf("it says that its address is 0x%02x: there is another chip than an MLX90614", own&0x7f)
	}
	// The power may have come just before Open.
	return s, drivers.Pause(ctx, settling)
}

// word reads one, the low byte first, with the checksum of SMBus over all bytes
// that passed, both addresses too (Rev 008 8.4.3.1).
func (s *sensor) word(ctx context.Context, command byte) (uint16, error) {
	s.w[0] = command
	s.frame = [6]byte{byte(s.dev.Addr << 1), command, byte(s.dev.Addr<<1) | 1}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], s.frame[3:]); err != nil {
		return 0, err
	}
	if want := checksum(s.frame[:5]); s.frame[5] != want {
		return 0, fmt.Errorf("word 0x%02x: %x has a wrong checksum, want %02x", command, s.frame[3:], want)
	}
	return uint16(s.frame[3]) | uint16(s.frame[4])<<8, nil
}

func checksum(p []byte) byte { return drivers.CRC8(p, 0x07, 0) }

// Read gives both temperatures of the last calculation.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	object, err := s.word(ctx, wordObject)
	if err != nil {
		return nil, fmt.Errorf("read the object's temperature: %w", err)
	}
	ambient, err := s.word(ctx, wordAmbient)
	if err != nil {
		return nil, fmt.Errorf("read the chip's temperature: %w", err)
	}
	if (object|ambient)&errorFlag != 0 {
		return nil, fmt.Errorf("the chip flags an error: words 0x%04x and 0x%04x", object, ambient)
	}
	if object == 0 || ambient == 0 {
		return nil, fmt.Errorf("the chip has not measured yet: words 0x%04x and 0x%04x", object, ambient)
	}
	s.values[0] = drivers.Value{Quantity: "temperature", Value: cel(object)}
	s.values[1] = drivers.Value{Quantity: "ambient", Value: cel(ambient)}
	if object < lowObject || object >= highObject {
		s.values[0].Doubt = "outside of what the chip can measure"
	}
	if ambient < lowAmbient || ambient > highAmbient { // the object's is calculated with it
		s.values[0].Doubt, s.values[1].Doubt = "outside of what the chip can stand", "outside of what the chip can stand"
	}
	return s.values[:], nil
}

// cel gives Cel of a word, which has fiftieths of 1 K (Rev 004 8.4.6). It counts in
// hundredths first: so 0x3ad2 is 28.01, as nearly as a float64 can be.
func cel(word uint16) float64 { return (float64(word)*2 - 27315) / 100 }

// Halt has nothing to do: the driver switched on nothing.
func (s *sensor) Halt() error { return nil }
