package builtin_test

import (
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// chips has a chip for every driver on I2C.
var chips = map[string]func(sim.Clock) sim.Chip{
	"lm75": func(now sim.Clock) sim.Chip { return sim.NewLM75("lm75", now, sim.Steady(21.5)) },
}

// targets has one for every kind of bus that the suite does not make itself.
var targets = map[drivers.BusKind]func() drivers.Target{
	drivers.BusNone: func() drivers.Target { return drivers.Target{SysRoot: "/"} },
	drivers.BusGPIO: func() drivers.Target {
		return drivers.Target{Pin: sim.NewPin("GPIO17", func() gpio.Level { return gpio.High })}
	},
}

// shown has files of the kernel for every driver that reads them, and the
// options that find its device there.
var shown = map[string]struct{ files, options map[string]string }{
	"hwmon": {
		files:   map[string]string{"sys/class/hwmon/hwmon0/name": "tmp421\n", "sys/class/hwmon/hwmon0/temp1_input": "23438\n"},
		options: map[string]string{"sensor": "tmp421"},
	},
}

// caseOf makes the case that a driver is tried on.
func caseOf(t *testing.T, d drivers.Driver) drivertest.Case {
	c := drivertest.Case{Driver: d, Chip: chips[d.Name], Target: targets[d.Bus]}
	if s, ok := shown[d.Name]; ok {
		c.Options = map[string]any{}
		for key, value := range s.options {
			c.Options[key] = value
		}
		c.Target = func() drivers.Target { return drivers.Target{SysRoot: drivertest.Tree(t, s.files)} }
	}
	return c
}

// Every driver passes the suite, its table among it, with its defaults.
func TestEveryDriver(t *testing.T) {
	for _, d := range builtin.Drivers() {
		if d.Bus == drivers.BusI2C && chips[d.Name] == nil {
			t.Errorf("%s has no chip here to be tried on", d.Name)
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			drivertest.Run(t, caseOf(t, d))
		})
	}
}

func TestNamesAreUniqueAndSorted(t *testing.T) {
	all := builtin.Drivers()
	if !slices.IsSortedFunc(all, func(a, b drivers.Driver) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in the order of names")
	}
	for i, d := range all[1:] {
		if d.Name == all[i].Name {
			t.Errorf("%s is there twice", d.Name)
		}
	}
}
