// Package lm75 reads temperature chips of the LM75 family: LM75 (TI SNIS153),
// TMP102 (TI SBOS397) and TMP105 (TI SBOS648). They share addresses, registers
// and the form of the temperature; they differ in resolution.
package lm75

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (SBOS648 table 2; the same in all three).
const (
	regTemp   = 0
	regConfig = 1
)

// firstConversion is the longest time until a chip that was just powered up
// has measured: until then it says 0 °C (SBOS648 "Temperature Register", max.
// 300 ms at 12 bits; SNIS153 300 ms; SBOS397 35 ms).
const firstConversion = 300 * time.Millisecond

// A variant is what sets a chip of the family apart. The configuration
// register stands in the upper byte where the chip has only one.
type variant struct {
	configLen  int
	set, clear uint16 // what the configuration must have, must not have
	check      uint16 // the bits of both that can be read back
	mask       uint16 // the bits of the temperature; the others are always 0
	zeroes     bool   // … and documented to be, so that one set is a garbled answer
	forgets    bool   // the resolution that was set is lost with the power
}

const (
	oneShot  = 0x8000
	twelve   = 0x6000 // R1, R0
	shutdown = 0x0100
	extended = 0x0010 // EM: 13 bits
)

var variants = map[string]variant{
	// Bits 7-5 of the configuration are for the maker's tests and must stay 0 (SNIS153 "Configuration
	// Register"); the lower seven bits of the temperature are undefined.
	"lm75": {configLen: 1, clear: 0xe000 | shutdown, check: shutdown, mask: 0xff80},
	// R1 and R0 are read-only and say 12 bits (SBOS397 table 8).
	"tmp102": {configLen: 2, clear: oneShot | shutdown | extended, check: twelve | shutdown | extended,
		set: twelve, mask: 0xfff0, zeroes: true},
	"tmp105": {configLen: 1, clear: oneShot | shutdown, check: twelve | shutdown, set: twelve, mask: 0xfff0, zeroes: true,
		forgets: true},
}

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "lm75",
		Doc:        "LM75, TMP102, TMP105 temperature sensors",
		Chips:      []string{"LM75", "TMP102", "TMP105"},
		Bus:        drivers.BusI2C,
		Addresses:  []uint16{0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f},
		Address:    0x48,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel", Decimals: 4}},
		Options: []drivers.Option{{
			Name: "model", Default: "lm75", OneOf: []any{"lm75", "tmp102", "tmp105"},
			Doc: "Which chip it is: lm75 gives steps of 0.5 Cel and suits them all, tmp102 and tmp105 give steps of 0.0625.",
		}},
		Lies: []drivers.Lie{{
			Name: "zero", Doc: "0 °C until the first conversion after power-up is done (SBOS648 \"Temperature Register\").",
			Tell: func(c drivers.Chip) { c.Reset() },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     open,
		Simulate: simulate,
	}
}

type sensor struct {
	variant
	dev   i2c.Dev
	fresh bool // not read since Open: may never have measured
	last  uint16
	value [1]drivers.Value
	reg   [1]byte // what is written and read in a visit, kept so that it allocates nothing
	raw   [2]byte
}

// strangers are chips at the same addresses that say who they are. What stands
// in their first register would pass for a temperature: half the true one of a
// TMP117, 65 °C of an INA226. The family takes the lower two bits of a register's
// number, and has zeros or undefined bits where these answers have ones.
var strangers = []drivers.Identity{
	{Chip: "TMP117", Ask: []byte{0x0f}, Is: []byte{0x01, 0x17}, Mask: []byte{0x0f, 0xff}}, // SNOSD82 7.6
	{Chip: "INA226 or INA260", Ask: []byte{0xfe}, Is: []byte("TI")},                       // SBOS547 7.6
}

// refuse fails if the chip says that it is another one. That one does not
// answer is seen in the next transfer.
func refuse(ctx context.Context, dev *i2c.Dev) error {
	for _, id := range strangers {
		var answer [2]byte
		if drivers.Transfer(ctx, dev, id.Ask, answer[:]) != nil {
			continue
		}
		for i := range id.Mask {
			answer[i] &= id.Mask[i]
		}
		if string(answer[:]) == string(id.Is) {
			return fmt.Errorf("the chip says that it is a %s", id.Chip)
		}
	}
	return nil
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	chip := t.Options["model"].(string)
	s := &sensor{variant: variants[chip], dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, fresh: true}
	err := drivers.Sequence(t.I2C, func(held i2c.Bus) error {
		dev := &i2c.Dev{Bus: held, Addr: t.Address}
		if err := refuse(ctx, dev); err != nil {
			return err
		}
		return s.configure(ctx, dev)
	})
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", chip, err)
	}
	return s, nil
}

// configure sets resolution and continuous conversion, and leaves everything
// else (the alert output) as somebody may have set it. A chip that is right
// already is not written to.
func (s *sensor) configure(ctx context.Context, dev *i2c.Dev) error {
	config, err := s.readConfig(ctx, dev)
	if err != nil {
		return err
	}
	want := config&^s.clear | s.set
	if want == config {
		return nil
	}
	w := binary.BigEndian.AppendUint16([]byte{regConfig}, want)
	if err := drivers.Transfer(ctx, dev, w[:1+s.configLen], nil); err != nil {
		return err
	}
	got, err := s.readConfig(ctx, dev)
	if err != nil {
		return err
	}
	if (got^want)&s.check != 0 {
		return fmt.Errorf("configuration is %04x after writing %04x: another chip? (option \"model\")", got, want)
	}
	return nil
}

func (s *sensor) readConfig(ctx context.Context, dev *i2c.Dev) (uint16, error) {
	s.reg[0], s.raw = regConfig, [2]byte{}
	err := drivers.Transfer(ctx, dev, s.reg[:], s.raw[:s.configLen])
	return binary.BigEndian.Uint16(s.raw[:]), err
}

// Read gives the temperature of the last conversion.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	raw, err := s.readTemp(ctx)
	if err != nil {
		return nil, err
	}
	if raw == 0 && (s.fresh || !s.nearZero()) {
		// The power may have come a moment ago: read again when even then the
		// chip has measured.
		if err := drivers.Pause(ctx, firstConversion); err != nil {
			return nil, err
		}
		if raw, err = s.readTemp(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.remembers(ctx); err != nil {
		return nil, err
	}
	s.fresh, s.last = false, raw
	s.value[0] = drivers.Value{Quantity: "temperature", Value: float64(int16(raw)) / 256}
	return s.value[:], nil
}

// remembers fails if the chip lost its settings: its power failed since Open.
func (s *sensor) remembers(ctx context.Context) error {
	if !s.forgets {
		return nil
	}
	config, err := s.readConfig(ctx, &s.dev)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if config&s.check != s.set {
		return fmt.Errorf("configuration is %04x: the power of the chip failed", config)
	}
	return nil
}

// nearZero says whether the last temperature was within 1 Cel of 0.
func (s *sensor) nearZero() bool { return int16(s.last) >= -256 && int16(s.last) <= 256 }

// readTemp gives the temperature in 1/256 Cel, two's complement.
func (s *sensor) readTemp(ctx context.Context) (uint16, error) {
	s.reg[0] = regTemp
	if err := drivers.Transfer(ctx, &s.dev, s.reg[:], s.raw[:]); err != nil {
		return 0, fmt.Errorf("read temperature: %w", err)
	}
	raw := binary.BigEndian.Uint16(s.raw[:])
	if s.zeroes && raw&^s.mask != 0 {
		return 0, fmt.Errorf("temperature register is %04x, where the low bits are always 0: garbled, or another chip (option \"model\")", raw)
	}
	return raw & s.mask, nil
}

// Halt has nothing to do: the chip takes 50 µA and drives nothing that the
// driver switched on.
func (s *sensor) Halt() error { return nil }
