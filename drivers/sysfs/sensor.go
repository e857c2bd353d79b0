package sysfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/drivers"
)

// A Channel is one quantity of a device, and how it is read: a value, and why
// it is in doubt ("": it is not), or an error.
type Channel struct {
	drivers.Quantity
	Read func() (v float64, doubt string, err error)
}

// A Look is what a driver finds when it opens a device.
type Look struct {
	Channels []Channel
	// Same tells, before each visit, that the device is still the one that was
	// found; nil: its files say so by their names.
	Same func() error
}

// Sensor is a device whose quantities are files.
type Sensor struct {
	hand    *Hand
	look    Look
	visit   func() error // visitAll, made once
	values  []drivers.Value
	missing error // why the last visit lacks quantities
}

var (
	_ drivers.Sensor = (*Sensor)(nil)
	_ drivers.Lister = (*Sensor)(nil)
)

// Open looks for the device that the option sensor names. All reading is done
// by a Hand: Open and Read return when ctx is done, whatever the kernel does.
func (o *Opener) Open(ctx context.Context, t drivers.Target, look func(h *Hand, root, want string) (Look, error)) (drivers.Sensor, error) {
	want, _ := t.Options["sensor"].(string)
	only, _ := t.Options["quantities"].(string)
	h, err := o.hand(t.SysRoot + "\x00" + want)
	if err != nil {
		return nil, err
	}
	s := &Sensor{hand: h}
	s.visit = s.visitAll
	err = h.Do(ctx, func() error {
		found, err := look(h, t.SysRoot, want)
		if err != nil {
			return classify(err)
		}
		s.look = found
		return s.choose(only)
	})
	if err != nil {
		return nil, fmt.Errorf("look for %q: %w", want, err)
	}
	return s, nil
}

// OptionQuantities is the key that chooses among the quantities of a device.
var OptionQuantities = drivers.Option{
	Name: "quantities", Default: "",
	Doc: "Which of its quantities are read, with spaces between them. Empty: all.",
}

// choose keeps the quantities that are named, in the order of the device.
func (s *Sensor) choose(only string) error {
	all := s.look.Channels
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ' ' || r == ',' })
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return fmt.Errorf("it has no quantity %q, only %s", w, strings.Join(names, ", "))
		}
	}
	if len(wanted) > 0 {
		s.look.Channels = slices.DeleteFunc(all, func(c Channel) bool { return !slices.Contains(wanted, c.Name) })
	}
	return nil
}

// Quantities lists what the device has.
func (s *Sensor) Quantities() []drivers.Quantity {
	qs := make([]drivers.Quantity, len(s.look.Channels))
	for i, c := range s.look.Channels {
		qs[i] = c.Quantity
	}
	return qs
}

// Read gives what can be read, and an error if nothing can.
func (s *Sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := s.hand.Do(ctx, s.visit); err != nil {
		return nil, err
	}
	return s.values, nil
}

// Missing tells why the last visit did not give all quantities; nil: it did.
func (s *Sensor) Missing() error { return s.missing }

// Halt has nothing to do: a read that is stuck cannot be ended.
func (s *Sensor) Halt() error { return nil }

// visitAll runs in the Hand's goroutine.
func (s *Sensor) visitAll() error {
	s.values, s.missing = s.values[:0], nil
	if s.look.Same != nil {
		if err := s.look.Same(); err != nil {
			return classify(err)
		}
	}
	var first error
	failed := 0
	for _, c := range s.look.Channels {
		v, doubt, err := c.Read()
		switch {
		case errors.Is(err, errLeft):
			return err
		case err == nil:
			s.values = append(s.values, drivers.Value{Quantity: c.Name, Value: v, Doubt: doubt})
			continue
		case first == nil:
			first = fmt.Errorf("%s: %w", c.Name, err)
		}
		failed++
	}
	if failed > 1 {
		first = fmt.Errorf("%w (and %d more)", first, failed-1)
	}
	if len(s.values) == 0 {
		return classify(first)
	}
	s.missing = first
	return nil
}

// classify marks an error that says that the device has gone.
func classify(err error) error {
	gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EREMOTEIO)
	if gone && !errors.Is(err, drivers.ErrAbsent) {
		return fmt.Errorf("%w: %w", drivers.ErrAbsent, err)
	}
	return err
}

var notForNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// maxName is how long the name of a quantity may be.
const maxName = 64

// Word makes of a label what may stand in the name of a quantity: "CPU Temp."
// gives "CPU_Temp". room is how much of the name is left for it.
func Word(label string, room int) string {
	word := strings.Trim(notForNames.ReplaceAllString(label, "_"), "_")
	return word[:min(len(word), room)]
}

// A Label is what the name of a quantity is made of.
type Label struct {
	Kind   string // "temperature"
	Number string // of the channel, "1"; may be ""
	Text   string // what the board's maker wrote, "CPU"; may be ""
}

// Names gives each channel its name: kind and text, "temperature_CPU", else
// kind and number, "temperature1". Channels with equal texts get their numbers
// too. No name depends on an order.
func Names(labels []Label) []string {
	plain := func(l Label) string { return l.Kind + l.Number }
	text := func(l Label) string {
		word := Word(l.Text, maxName-len(plain(l))-2)
		if word == "" {
			return plain(l)
		}
		return l.Kind + "_" + word
	}
	both := func(l Label) string { return text(l) + "_" + l.Number }
	names := make([]string, len(labels))
	count := map[string]int{}
	for i, l := range labels {
		names[i] = text(l)
		count[names[i]]++
		count[both(l)]++
	}
	for i, l := range labels {
		switch {
		case count[names[i]] == 1 || names[i] == plain(l):
		case count[both(l)] == 1:
			names[i] = both(l)
		default:
			names[i] = plain(l)
		}
	}
	return names
}
