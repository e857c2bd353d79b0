package main

import (
	"fmt"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/linux"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// supply is the line that switches the power of a device; nil: none does.
func (r *rack) supply(c config.Device) *sample.Supply {
	p := c.Power
	if p.Line == "" {
		return nil
	}
	most, within, _ := config.ParseOften(p.AtMost) // it was checked
	s := &sample.Supply{Line: p.Line, Off: p.Off, After: int(p.After), Most: most, Within: within}
	if p.Chip == simChip {
		s.Switch, s.Release = r.simSupply(c), func() error { return nil }
		return s
	}
	var pin *linux.Pin // owned by the goroutine of the bus
	s.Switch = func(on bool) (err error) {
		if pin == nil {
			if pin, err = linux.OpenPin(p.Chip, p.Line); err != nil {
				return err
			}
		}
		return pin.Out(gpio.Level(on != p.ActiveLow))
	}
	s.Release = func() error {
		if pin == nil {
			return nil
		}
		return pin.Halt()
	}
	return s
}

// simSupply switches the power of the simulated chip that c is.
func (r *rack) simSupply(c config.Device) func(on bool) error {
	return func(on bool) error {
		name := c.Bus
		if behind, ok := drivers.ParseChannel(name); ok {
			name = behind.Bus
		}
		if name == "" {
			return fmt.Errorf("%s is on no simulated bus", c.ID)
		}
		r.simBus(name).SetPower(uint16(c.Address), on)
		return nil
	}
}
