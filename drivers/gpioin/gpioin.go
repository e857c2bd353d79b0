// Package gpioin reads the level of a line: a door contact, a float switch,
// the alarm output of another machine.
package gpioin

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

var pulls = map[string]gpio.Pull{"none": gpio.Float, "up": gpio.PullUp, "down": gpio.PullDown}

// Driver is the row for the table. RFC 8428 names "/" for the value of a
// switch.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:       "gpio-in",
		Doc:        "level of a GPIO line, 0 or 1",
		Bus:        drivers.BusGPIO,
		Interval:   time.Second,
		Timeout:    time.Second,
		Quantities: []drivers.Quantity{{Name: "level", Unit: "/"}},
		Options: []drivers.Option{{
			Name: "pull", Default: "none", OneOf: []any{"none", "up", "down"},
			Doc: "The board's own resistor on the line: none for what drives it both ways, up for a contact to ground, down for one to 3.3 V.",
		}},
		Open:         open,
		SimulateLine: func(s drivers.Simulation) gpio.Level { return s.Now("level") >= 0.5 },
	}
}

// leveler is a pin that can say that it could not be read; gpio.PinIO cannot.
type leveler interface {
	ReadLevel() (gpio.Level, error)
}

type sensor struct {
	pin       gpio.PinIO
	activeLow bool
	value     [1]drivers.Value
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Pin, err)
	}
	if err := t.Pin.In(pulls[t.Options["pull"].(string)], gpio.NoEdge); err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Pin, err)
	}
	return &sensor{pin: t.Pin, activeLow: t.ActiveLow}, nil
}

// Read gives 1 for high, or for low if the line is active-low.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.pin, err)
	}
	l, err := s.level()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.pin, err)
	}
	s.value[0] = drivers.Value{Quantity: "level"}
	if bool(l) != s.activeLow {
		s.value[0].Value = 1
	}
	return s.value[:], nil
}

func (s *sensor) level() (gpio.Level, error) {
	if p, ok := s.pin.(leveler); ok {
		return p.ReadLevel()
	}
	return s.pin.Read(), nil
}

// Halt gives the line back.
func (s *sensor) Halt() error {
	if err := s.pin.Halt(); err != nil {
		return fmt.Errorf("give back %s: %w", s.pin, err)
	}
	return nil
}
