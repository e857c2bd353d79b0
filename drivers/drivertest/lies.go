package drivertest

import (
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// checkLies: whatever a chip says that it should not, no value that is not
// true is given as good. The chip lies from its power-up on, and from one good
// visit to the next.
func checkLies(c Case) error {
	for _, l := range c.Driver.Lies {
		if l.Tell == nil {
			continue
		}
		b := c.set()
		l.Tell(b.chip)
		if err := b.wantNoUntruth(nil); err != nil {
			return fmt.Errorf("lie %q from the start: %w", l.Name, err)
		}
		b = c.set()
		s, err := b.openWarm()
		if err != nil {
			return err
		}
		l.Tell(b.chip)
		if err := b.wantNoUntruth(s); err != nil {
			return fmt.Errorf("lie %q between two visits: %w", l.Name, err)
		}
	}
	return nil
}

// checkBrownOut: the power of a chip fails between two good visits, too
// shortly for anybody to notice. Its settings are lost.
func checkBrownOut(c Case) error {
	b := c.set()
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	b.bus.PowerCycle(c.Driver.Address)
	return b.wantNoUntruth(s)
}

// checkMISO: nobody is on the port, so every byte that is read is the same.
func checkMISO(idle byte) func(Case) error {
	return func(c Case) error {
		b := c.set()
		b.port.Idle(idle)
		b.bus.Detach(c.Driver.Address)
		if vs, err := b.visit(nil); err == nil && !allInDoubt(vs) {
			return fmt.Errorf("nobody is on the port, which reads %02x, but a visit gave %v", idle, vs)
		}
		b = c.set()
		s, err := b.openWarm()
		if err != nil {
			return err
		}
		b.port.Idle(idle)
		b.bus.Detach(c.Driver.Address)
		if vs, err := b.read(s); err == nil && !allInDoubt(vs) {
			return fmt.Errorf("the chip left the port, which reads %02x, but a visit gave %v", idle, vs)
		}
		return nil
	}
}

func allInDoubt(vs []drivers.Value) bool {
	for _, v := range vs {
		if v.Doubt == "" {
			return false
		}
	}
	return true
}

// wantNoUntruth makes some visits, the first at once, and opens the device anew
// after each that fails. s is nil if it is not open.
func (b *bench) wantNoUntruth(s drivers.Sensor) error {
	for range 4 {
		if s == nil {
			var err error
			if s, err = b.open(); err != nil {
				s = nil
			}
		}
		if s != nil {
			vs, err := b.read(s)
			if truth := b.wantTrue(vs); truth != nil {
				return truth
			}
			if err != nil {
				_ = s.Halt()
				s = nil
			}
		}
		time.Sleep(b.Driver.Interval)
	}
	return nil
}

// visit opens the device if it is not, and reads it.
func (b *bench) visit(s drivers.Sensor) (vs []drivers.Value, err error) {
	if s == nil {
		if s, err = b.open(); err != nil {
			return nil, err
		}
	}
	return b.read(s)
}
