package drivertest

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"github.com/fieldgate/fieldgate/drivers"
)

var (
	validName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	validOption = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// senML holds the units of the IANA SenML units registry (RFC 8428 §12.1, RFC
// 8798 §2) that new senders may use.
var senML = []string{
	"m", "kg", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm", "S", "Wb",
	"T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "m/s", "m/s2", "m3/s", "W/m2", "cd/m2", "bit",
	"bit/s", "lat", "lon", "pH", "dB", "dBW", "count", "/", "%RH", "%EL", "EL", "1/s", "S/m", "B", "VA", "VAs",
	"var", "vars", "J/m", "kg/m3",
}

// checkTable: the driver's row says everything, and says it validly.
func checkTable(c Case) error {
	d := c.Driver
	switch {
	case !validName.MatchString(d.Name):
		return fmt.Errorf("name %q is not [A-Za-z0-9_-]{1,64}", d.Name)
	case d.Doc == "":
		return fmt.Errorf("says nothing about itself")
	case d.Interval <= 0 || d.Timeout <= 0:
		return fmt.Errorf("lacks an interval or a timeout")
	case (d.Open == nil) == (d.OpenOutput == nil):
		return fmt.Errorf("wants Open or OpenOutput, one of them")
	case d.Bus == drivers.BusI2C && !slices.Contains(d.Addresses, d.Address):
		return fmt.Errorf("its own address %#x is not among its addresses", d.Address)
	case d.Bus == drivers.BusSPI && d.SPI.Speed <= 0:
		return fmt.Errorf("is on SPI but says no speed")
	case slices.Contains(wired, d.Bus) && len(d.Chips) == 0:
		return fmt.Errorf("names no chip: Chips")
	case slices.Contains(wired, d.Bus) && d.Simulate == nil:
		return fmt.Errorf("has no simulated chip: Simulate")
	case d.Bus == drivers.BusGPIO && d.SimulateLine == nil:
		return fmt.Errorf("has no simulated line: SimulateLine")
	case d.Quantities == nil && d.MostQuantities <= 0:
		return fmt.Errorf("says neither its quantities nor how many there can be")
	}
	if err := validQuantities(d.Quantities); d.Quantities != nil && err != nil {
		return err
	}
	for _, name := range d.Blind {
		if !slices.Contains(optional, name) {
			return fmt.Errorf("is blind for %q, which is none of %v", name, optional)
		}
	}
	for _, l := range d.Lies {
		if err := validLie(l); err != nil {
			return fmt.Errorf("lie %q: %w", l.Name, err)
		}
	}
	for i, o := range d.Options {
		if err := validTableOption(o); err != nil {
			return fmt.Errorf("option %q: %w", o.Name, err)
		}
		if slices.ContainsFunc(d.Options[:i], func(p drivers.Option) bool { return p.Name == o.Name }) {
			return fmt.Errorf("option %q is there twice", o.Name)
		}
	}
	return nil
}

var validLieName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func validLie(l drivers.Lie) error {
	switch {
	case !validLieName.MatchString(l.Name) || l.Doc == "":
		return fmt.Errorf("its name is not like \"not-yet-measured\", or it has no explanation")
	case (l.Tell == nil) == (l.Test == ""):
		return fmt.Errorf("wants Tell or Test, one of them")
	}
	return nil
}

func validTableOption(o drivers.Option) error {
	if !validOption.MatchString(o.Name) || o.Doc == "" {
		return fmt.Errorf("not a name for a configuration key, or without explanation")
	}
	all := append([]any{o.Default}, o.OneOf...)
	if o.Required != "" || o.Example != nil {
		all = append(all, o.Example)
	}
	for _, v := range all {
		switch v.(type) {
		case bool, int64, float64, string:
		default:
			return fmt.Errorf("%v is a %T, which no key can be", v, v)
		}
		if reflect.TypeOf(v) != reflect.TypeOf(o.Default) {
			return fmt.Errorf("%v is not of the type of the default, %T", v, o.Default)
		}
	}
	if o.OneOf != nil && !slices.Contains(o.OneOf, o.Default) {
		return fmt.Errorf("default %v is not one of %v", o.Default, o.OneOf)
	}
	return nil
}

func validQuantities(qs []drivers.Quantity) error {
	seen := make(map[string]bool)
	for _, q := range qs {
		if !validName.MatchString(q.Name) || seen[q.Name] {
			return fmt.Errorf("quantity %q is not [A-Za-z0-9_-]{1,64}, or there twice", q.Name)
		}
		if !slices.Contains(senML, q.Unit) {
			return fmt.Errorf("quantity %q: unit %q is not in the SenML registry", q.Name, q.Unit)
		}
		seen[q.Name] = true
	}
	if len(qs) == 0 {
		return fmt.Errorf("no quantities")
	}
	return nil
}
