// Package ina2xx reads Texas Instruments' monitors of voltage and current:
// INA219 (datasheet SBOS448), INA226 (SBOS547) and INA260 (SBOS656).
//
// Current and power are calculated here, from what the chip measured. Its own
// registers for them need a calibration, which a chip that lost its power for a
// moment has forgotten: they then say 0, and nothing shows it.
package ina2xx

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// Registers (SBOS448 table 2, SBOS547 table 4, SBOS656 table 3).
const (
	regConfig  = 0
	regShunt   = 1 // INA260: the current
	regBus     = 2
	regPower   = 3
	regCurrent = 4
	regCalib   = 5
	regMask    = 6 // INA226 and INA260
	regMaker   = 0xfe
	regDie     = 0xff
)

const (
	busReady   = 0x0002 // INA219: CNVR in the register of the bus voltage
	maskReady  = 0x0008 // CVRF
	makerTexas = 0x5449 // "TI"
)

// A model is what sets the chips apart.
type model struct {
	name  string
	title string
	// config is what each visit sets: both values once, as averages of 16. It
	// differs from reset, so that a chip that lost its power is noticed.
	config, reset uint16
	conversion    time.Duration // the longest, of both values
	shuntLSB      float64       // V; INA260: A
	shuntFull     int16         // where it is clipped
	busLSB        float64       // V
	busShift      int
	busMax        float64 // V, specified
	die, dieMask  uint16  // 0: the chip has no identity
	inside        bool    // the shunt is in the chip
}

var (
	// Gain 1/8: 320 mV; 8.51 ms each (SBOS448 tables 3 to 6).
	ina219 = &model{name: "ina219", title: "INA219", config: 0x3e63, reset: 0x399f, conversion: 20 * time.Millisecond,
		shuntLSB: 10e-6, shuntFull: 32000, busLSB: 4e-3, busShift: 3, busMax: 26}
	// 16 x 2 x 1.1 ms, 1.21 at most (SBOS547 7.6.2, 6.5).
	ina226 = &model{name: "ina226", title: "INA226", config: 0x4523, reset: 0x4127, conversion: 40 * time.Millisecond,
		shuntLSB: 2.5e-6, shuntFull: math.MaxInt16, busLSB: 1.25e-3, busMax: 36, die: 0x2260, dieMask: 0xfff0}
	ina260 = &model{name: "ina260", title: "INA260", config: 0x6523, reset: 0x6127, conversion: 40 * time.Millisecond,
		shuntLSB: 1.25e-3, shuntFull: math.MaxInt16, busLSB: 1.25e-3, busMax: 36, die: 0x2270, dieMask: 0xfff0, inside: true}
)

// INA219 is its row for the table.
func INA219() drivers.Driver { return ina219.row() }

// INA226 is its row for the table.
func INA226() drivers.Driver { return ina226.row() }

// INA260 is its row for the table.
func INA260() drivers.Driver { return ina260.row() }

func (m *model) row() drivers.Driver {
	d := drivers.Driver{
		Name:     m.name,
		Doc:      m.title + " voltage, current and power monitor",
		Chips:    []string{m.title},
		Bus:      drivers.BusI2C,
		Address:  0x40,
		Interval: time.Second,
		Timeout:  time.Second,
		Quantities: []drivers.Quantity{
			{Name: "voltage", Unit: "V", Typical: 12}, {Name: "current", Unit: "A"}, {Name: "power", Unit: "W", Typical: 6},
		},
		Lies: []drivers.Lie{{
			Name: "not-converted", Doc: "0 V and 0 A until the first conversion after power-up is done.",
			Tell: func(c drivers.Chip) { c.(*chip).dead = true },
		}, {
			Name: "overflow", Doc: "The highest value when there is more than the chip can measure.",
			Tell: func(c drivers.Chip) { c.(*chip).clipped = true },
		}},
		Blind:    []string{"FlippedBit"}, // no checksum
		Open:     m.open,
		Simulate: m.simulate,
	}
	for a := uint16(0x40); a < 0x50; a++ {
		d.Addresses = append(d.Addresses, a)
	}
	if m.die != 0 {
		d.Identity = []drivers.Identity{{
			Chip: m.title, Ask: []byte{regDie}, Is: binary.BigEndian.AppendUint16(nil, m.die), Mask: binary.BigEndian.AppendUint16(nil, m.dieMask),
		}}
	}
	if !m.inside {
		d.Options = []drivers.Option{{Name: "shunt", Default: 0.1,
			Doc: "Resistance of the shunt in Ohm. Most modules have R100, which is 0.1."}}
	}
	return d
}

type sensor struct {
	*model
	dev   i2c.Dev
	shunt float64 // Ohm
	// What a visit writes, reads and gives, kept so that it allocates nothing.
	w      [3]byte
	r      [2]byte
	values [3]drivers.Value
}

func (m *model) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{model: m, dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, shunt: 1}
	if !m.inside {
		s.shunt = t.Options["shunt"].(float64)
	}
	if !(s.shunt > 0) {
		return nil, fmt.Errorf("shunt = %v: a resistance in Ohm is above 0", s.shunt)
	}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	// An INA219 shows that it is one by keeping its settings.
	if _, err := s.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.remembers(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// identify fails if it is another chip. An INA219 has no identity.
func (s *sensor) identify(ctx context.Context) error {
	if s.die == 0 {
		return nil
	}
	maker, err := s.read(ctx, regMaker)
	if err != nil {
		return fmt.Errorf("read the maker's id: %w", err)
	}
	die, err := s.read(ctx, regDie)
	if err != nil {
		return fmt.Errorf("read the id of the chip: %w", err)
	}
	if maker != makerTexas || die&s.dieMask != s.die {
		return fmt.Errorf("ids are %04x %04x, want %04x %04x: there is another chip than an %s", maker, die, makerTexas, s.die, s.title)
	}
	return nil
}

// Start begins one conversion of both values. Writing the configuration takes
// the ready flag away.
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	s.w = [3]byte{regConfig, byte(s.config >> 8), byte(s.config)}
	if err := drivers.Transfer(ctx, &s.dev, s.w[:], nil); err != nil {
		return 0, fmt.Errorf("start a conversion: %w", err)
	}
	return s.conversion, nil
}

// remembers fails if the configuration is not what was set.
func (s *sensor) remembers(ctx context.Context) error {
	config, err := s.read(ctx, regConfig)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if config != s.config {
		return fmt.Errorf("configuration is %04x, want %04x: its power failed, or there is another chip than an %s", config, s.config, s.title)
	}
	return nil
}

// read reads a register; all have 16 bits, the high byte first.
func (s *sensor) read(ctx context.Context, reg byte) (uint16, error) {
	s.w[0] = reg
	err := drivers.Transfer(ctx, &s.dev, s.w[:1], s.r[:])
	return binary.BigEndian.Uint16(s.r[:]), err
}

// Read gives the values of the conversion that Start began.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	across, err := s.read(ctx, regShunt)
	if err != nil {
		return nil, fmt.Errorf("read the shunt: %w", err)
	}
	bus, err := s.read(ctx, regBus)
	if err != nil {
		return nil, fmt.Errorf("read the bus voltage: %w", err)
	}
	if s.die != 0 && bus&0x8000 != 0 {
		return nil, fmt.Errorf("the register of the bus voltage is %04x, where the highest bit is always 0: garbled", bus)
	}
	ready := bus & busReady
	if s.die != 0 {
		if ready, err = s.read(ctx, regMask); err != nil {
			return nil, fmt.Errorf("read the ready flag: %w", err)
		}
		ready &= maskReady
	}
	if ready == 0 {
		return nil, fmt.Errorf("no conversion is ready %v after its start", s.conversion)
	}
	// Last, so that a power failure before any of them is noticed: the chip then measures as it does after reset.
	if err := s.remembers(ctx); err != nil {
		return nil, err
	}
	return s.convert(int16(across), bus>>s.busShift), nil
}

// convert makes values of raw ones. A clipped one says only that there is more.
func (s *sensor) convert(across int16, bus uint16) []drivers.Value {
	volts, amps := float64(bus)*s.busLSB, float64(across)*s.shuntLSB/s.shunt
	s.values = [3]drivers.Value{
		{Quantity: "voltage", Value: volts}, {Quantity: "current", Value: amps}, {Quantity: "power", Value: volts * amps},
	}
	if volts > s.busMax {
		s.values[0].Doubt = "above what the chip can measure"
		s.values[2].Doubt = s.values[0].Doubt
	}
	if across >= s.shuntFull || across <= -s.shuntFull {
		s.values[1].Doubt = "clipped: the current is higher than the shunt allows"
		s.values[2].Doubt = s.values[1].Doubt
	}
	return s.values[:]
}

// Halt has nothing to do: the chip is at rest after a conversion.
func (s *sensor) Halt() error { return nil }
