package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/lm75"
)

// toy is a driver for a TMP105 with one defect, or none.
type toy struct {
	defect string
	told   *bool // the settings were written, by any toy of the case
	halted int
	dev    i2c.Dev
}

func (d *toy) has(defect string) bool { return d.defect == defect }

func (d *toy) transfer(ctx context.Context, w, r []byte) error {
	var err error
	if d.has("ignores the context") {
		err = d.dev.Tx(w, r)
	} else {
		err = drivers.Transfer(ctx, &d.dev, w, r)
	}
	switch {
	case d.has("loses the class"):
		if err != nil {
			return fmt.Errorf("transfer: %v", err)
		}
	case d.has("takes half an answer") && errors.Is(err, io.ErrUnexpectedEOF),
		d.has("takes silence for an answer") && errors.Is(err, drivers.ErrAbsent):
		return nil
	case d.has("calls everything absent") && err != nil:
		return fmt.Errorf("%w: %w", drivers.ErrAbsent, err)
	}
	return err
}

func (d *toy) open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	s := &toy{defect: d.defect, dev: i2c.Dev{Bus: t.I2C, Addr: t.Address}}
	var config [1]byte
	if err := s.transfer(ctx, []byte{1}, config[:]); err != nil {
		return nil, err
	}
	if d.has("tells settings once") && *d.told {
		return s, nil
	}
	*d.told = true
	return s, s.transfer(ctx, []byte{1, 0x60}, nil)
}

func (d *toy) Read(ctx context.Context) ([]drivers.Value, error) {
	var r [2]byte
	err := d.transfer(ctx, []byte{0}, r[:])
	if r[1]&0x0f != 0 && !d.has("believes lies") {
		return nil, errors.New("the low bits are always 0")
	}
	v := []drivers.Value{{Quantity: "temperature", Value: float64(int16(r[0])<<8|int16(r[1])) / 256}}
	switch {
	case d.has("gives a value with an error"):
		return v, err
	case err != nil:
		return nil, err
	case d.has("gives what nobody announced"):
		v[0].Quantity = "pressure"
	case d.has("gives a quantity twice"):
		v = append(v, v[0])
	}
	return v, nil
}

func (d *toy) Halt() error {
	if d.halted++; d.has("halts once") && d.halted > 1 {
		return errors.New("halted already")
	}
	return nil
}

// A liar is a chip that can be told to answer with ones.
type liar struct {
	drivers.Chip
	lies bool
}

func (l *liar) Tx(w, r []byte) error {
	err := l.Chip.Tx(w, r)
	for i := range r {
		if l.lies {
			r[i] = 0xff
		}
	}
	return err
}

// tmp105 makes a chip that settles at once: its clock runs fast.
func tmp105(s drivers.Simulation) drivers.Chip {
	var now time.Duration
	s.Clock = func() time.Duration { now += time.Hour; return now }
	s.Options = map[string]any{"model": "tmp105"}
	return &liar{Chip: lm75.Driver().Simulate(s)}
}

func toyCase(defect string) Case {
	d := &toy{defect: defect, told: new(bool)}
	return Case{
		Driver: drivers.Driver{
			Name: "toy", Doc: "Toy.", Chips: []string{"TOY"}, Bus: drivers.BusI2C, Addresses: []uint16{0x48}, Address: 0x48,
			Interval: time.Second, Timeout: time.Second,
			Quantities: []drivers.Quantity{{Name: "temperature", Unit: "Cel"}},
			Options:    []drivers.Option{{Name: "n", Default: int64(1), Doc: "Number."}},
			Open:       d.open,
			Simulate:   tmp105,
			Blind:      []string{"FlippedBit"},
			Lies:       []drivers.Lie{{Name: "stuck-high", Doc: "All ones.", Tell: func(c drivers.Chip) { c.(*liar).lies = true }}},
		},
		Values: map[string]float64{"temperature": 21.25},
	}
}

// failing gives the names of the checks that a new case does not pass.
func failing(t *testing.T, newCase func() Case) (names []string) {
	for _, k := range checks {
		if d := newCase().Driver; !k.concerns(d) || slices.Contains(d.Blind, k.name) {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			if err := k.try(newCase()); err != nil {
				t.Logf("%s: %v", k.name, err)
				names = append(names, k.name)
			}
		})
	}
	return names
}

func TestSuiteSeesEachDefect(t *testing.T) {
	if names := failing(t, func() Case { return toyCase("") }); names != nil {
		t.Fatalf("a good driver fails %v", names)
	}
	for defect, check := range map[string]string{
		"ignores the context":         "ContextDone LateAnswer",
		"loses the class":             "AbsentAtOpen FaultAtEachTransfer",
		"takes half an answer":        "FaultAtEachTransfer",
		"takes silence for an answer": "AbsentAtOpen FaultAtEachTransfer",
		"calls everything absent":     "FaultAtEachTransfer",
		"tells settings once":         "PowerLoss",
		"believes lies":               "Lies",
		"gives a value with an error": "FailedVisit FaultAtEachTransfer",
		"gives what nobody announced": "Values",
		"gives a quantity twice":      "Values",
		"halts once":                  "Halt FailedVisit",
	} {
		t.Run(defect, func(t *testing.T) { wantIn(t, check, failing(t, func() Case { return toyCase(defect) })) })
	}
	t.Run("value is wrong", func(t *testing.T) {
		wantIn(t, "Values", failing(t, func() Case {
			c := toyCase("")
			c.Want = map[string]float64{"temperature": 21}
			return c
		}))
	})
}

// wantIn fails unless every name (or names, separated by spaces) is in got.
func wantIn(t *testing.T, names string, got []string) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		if !slices.Contains(got, name) {
			t.Errorf("check %s passed; failed were only %v", name, got)
		}
	}
}

func TestTableIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*drivers.Driver){
		"name":         func(d *drivers.Driver) { d.Name = "two words" },
		"doc":          func(d *drivers.Driver) { d.Doc = "" },
		"interval":     func(d *drivers.Driver) { d.Interval = 0 },
		"timeout":      func(d *drivers.Driver) { d.Timeout = 0 },
		"address":      func(d *drivers.Driver) { d.Address = 0x49 },
		"unit":         func(d *drivers.Driver) { d.Quantities[0].Unit = "°C" },
		"no bound":     func(d *drivers.Driver) { d.Quantities = nil },
		"quantity":     func(d *drivers.Driver) { d.Quantities[0].Name = "" },
		"twice":        func(d *drivers.Driver) { d.Quantities = append(d.Quantities, d.Quantities[0]) },
		"option name":  func(d *drivers.Driver) { d.Options[0].Name = "N" },
		"option doc":   func(d *drivers.Driver) { d.Options[0].Doc = "" },
		"option kind":  func(d *drivers.Driver) { d.Options[0].Default = 1 },
		"option oneof": func(d *drivers.Driver) { d.Options[0].OneOf = []any{int64(2)} },
		"option twice": func(d *drivers.Driver) { d.Options = append(d.Options, d.Options[0]) },
	} {
		c := toyCase("")
		spoil(&c.Driver)
		if err := checkTable(c); err == nil {
			t.Errorf("spoilt %s passes", name)
		}
	}
}
