package drivers_test

// The driver that doc.go teaches. What stands between the marks stands there
// too.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
)

// mark 1

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name: "hygro", Doc: "HYGRO humidity sensor", Chips: []string{"HYGRO"}, Bus: drivers.BusI2C,
		Addresses: []uint16{0x40}, Address: 0x40,
		Interval: 10 * time.Second, Timeout: time.Second,
		Quantities: []drivers.Quantity{{Name: "humidity", Unit: "%RH"}},
		Lies: []drivers.Lie{{
			Name: "not-yet-measured", Doc: "ffff with a right checksum before the first measurement (datasheet p. 7)",
			Tell: func(c drivers.Chip) { c.(*chip).raw, c.(*chip).dead = 0xffff, true },
		}},
		Open:     open,
		Simulate: simulate,
	}
}

const command = 0xe5 // "measure" (datasheet p. 5)

type sensor struct {
	dev   i2c.Dev
	w     [1]byte // kept here, so that a visit allocates nothing
	r     [3]byte
	value [1]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &sensor{dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}, w: [1]byte{command}}
	if _, err := s.Start(ctx); err != nil {
		return nil, fmt.Errorf("look for the chip: %w", err)
	}
	return s, drivers.Pause(ctx, 20*time.Millisecond)
}

// Start begins a measurement, which takes 20 ms (datasheet p. 6).
func (s *sensor) Start(ctx context.Context) (time.Duration, error) {
	return 20 * time.Millisecond, drivers.Transfer(ctx, &s.dev, s.w[:], nil)
}

func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := drivers.Transfer(ctx, &s.dev, nil, s.r[:]); err != nil {
		return nil, fmt.Errorf("read humidity: %w", err)
	}
	if drivers.CRC8(s.r[:2], 0x31, 0xff) != s.r[2] {
		return nil, fmt.Errorf("read humidity: %x has a wrong checksum", s.r)
	}
	raw := uint16(s.r[0])<<8 | uint16(s.r[1])
	if raw == 0xffff {
		return nil, errors.New("the chip has not measured yet")
	}
	s.value[0] = drivers.Value{Quantity: "humidity", Value: 100 * float64(raw) / 65536}
	if raw < 0x0100 {
		s.value[0].Doubt = "below what the chip can measure"
	}
	return s.value[:], nil
}

func (s *sensor) Halt() error { return nil } // it sleeps by itself

// mark 2

// A chip is the simulated one.
type chip struct {
	drivers.Simulation
	raw  uint16
	dead bool // it never measures
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s, raw: 0xffff} }

func (c *chip) Reset() { c.raw = 0xffff }

func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 && w[0] == command && !c.dead {
		c.raw = uint16(min(max(c.Now("humidity"), 0), 99) * 65536 / 100)
	}
	answer := [3]byte{byte(c.raw >> 8), byte(c.raw)}
	answer[2] = drivers.CRC8(answer[:2], 0x31, 0xff)
	copy(r, answer[:])
	return nil
}

// mark 3

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{Driver: Driver(), Values: map[string]float64{"humidity": 62.5},
		Want: map[string]float64{"humidity": 62.5}})
	drivertest.Run(t, drivertest.Case{Driver: Driver()})
}

// mark 4

func TestTheTaughtDriverIsThisOne(t *testing.T) {
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer("//\t", "", "//\n", "\n").Replace(string(doc))
	for _, part := range strings.Split(string(code), "\n// mark ")[1:4] {
		_, part, _ = strings.Cut(part, "\n")
		if !strings.Contains(plain, strings.TrimSpace(part)) {
			t.Errorf("doc.go does not have this:\n%s", part)
		}
	}
}
