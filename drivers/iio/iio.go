// Package iio reads the chips that the kernel shows in /sys/bus/iio: air,
// light, voltages, weights, fields (Documentation/ABI/testing/sysfs-bus-iio of
// Linux). A value is what the driver computed (_input), else
// (raw + offset) * scale. Each visit is a plain read: no buffer, no trigger.
package iio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

// most is how many quantities a device has at most.
const most = 64

// Driver is the row for the table.
func Driver() drivers.Driver {
	opener := &sysfs.Opener{}
	return drivers.Driver{
		Name:     "iio",
		Doc:      "chips that a Linux driver shows in /sys/bus/iio: air, light, voltage, resistance, distance, magnetic field and more",
		Chips:    []string{"DPS310", "LSM303DLHC"},
		Bus:      drivers.BusNone,
		Interval: 10 * time.Second,
		// A driver may power the chip up for each of its values, and wait for two
		// measurements: the three axes of a compass at 0.75 Hz take 8 s.
		Timeout: 15 * time.Second,

		MostQuantities: most,
		Options: []drivers.Option{{
			Name: "sensor", Default: "", Example: "bmp280",
			Required: `which chip, such as "bmp280" or "i2c-1/1-0077"`,
			Doc: "Which chip: its name in /sys/bus/iio/devices/iio:device*/name, or the end of its device path (i2c-1/1-0077). " +
				"It must fit one chip only: if it fits none or several, the message lists those that there are.",
		}, sysfs.OptionQuantities},
		Files: map[string]string{"sys/bus/iio/devices/iio:device0/name": "bmp280\n", "sys/bus/iio/devices/iio:device0/in_temp_input": "24738\n"},
		Open:  func(ctx context.Context, t drivers.Target) (drivers.Sensor, error) { return opener.Open(ctx, t, look) },
	}
}

// A channel is one of a chip, and the files that it is computed from.
type channel struct {
	name
	input              string   // the value in the unit of the kernel; "": raw is all there is
	raw, offset, scale string   // files; offset and scale may be ""
	faults             []string // of the chip: files that are 0 while it is well
}

var errNothing = errors.New("the chip has no channel whose unit is known")

// look finds the wanted chip and its channels.
func look(h *sysfs.Hand, root, want string) (sysfs.Look, error) {
	d, err := h.Find(sysfs.Class{Root: root, Links: "sys/bus/iio/devices/iio:device"}, want)
	if err != nil {
		return sysfs.Look{}, err
	}
	channels, err := channelsIn(d)
	if err != nil {
		return sysfs.Look{}, err
	}
	labels := make([]sysfs.Label, len(channels))
	for i, c := range channels {
		text, err := h.Optional(filepath.Join(d.Dir, c.file+"_label"))
		if err != nil {
			return sysfs.Look{}, err // without its label the quantity would get another name
		}
		labels[i] = sysfs.Label{Kind: c.kind.name, Number: c.number(), Text: text}
	}
	found := make([]sysfs.Channel, len(channels))
	for i, quantity := range sysfs.Names(labels) {
		c := channels[i]
		found[i] = sysfs.Channel{
			Quantity: drivers.Quantity{Name: quantity, Unit: c.unit()},
			Read: func() (float64, string, error) {
				v, err := c.read(h)
				return v, "", err
			},
		}
	}
	return sysfs.Look{Channels: found, Same: h.Same(filepath.Join(d.Dir, "name"), d.Name)}, nil
}

// channelsIn lists the channels of a chip by the names of its files.
func channelsIn(d sysfs.Device) ([]*channel, error) {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", d.Name, err)
	}
	files, faults := map[string]bool{}, []string(nil)
	for _, e := range entries {
		files[e.Name()] = true
		if strings.HasPrefix(e.Name(), "fault_") { // of the MAX31856 and MAX31865: thermocouple or resistor
			faults = append(faults, filepath.Join(d.Dir, e.Name()))
		}
	}
	var all []*channel
	for file := range files {
		base, isRaw := strings.CutSuffix(file, "_raw")
		base, isInput := strings.CutSuffix(base, "_input")
		n, known := parse(base)
		if !known || isRaw == isInput || isRaw && files[base+"_input"] {
			continue // what the driver computed goes before what it did not
		}
		c := &channel{name: n, faults: faults}
		if isInput {
			c.input = filepath.Join(d.Dir, file)
		} else {
			c.raw, c.offset, c.scale = filepath.Join(d.Dir, file), n.beside(d.Dir, files, "offset"), n.beside(d.Dir, files, "scale")
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", d.Name, errNothing)
	}
	slices.SortFunc(all, func(a, b *channel) int {
		return cmp.Or(cmp.Compare(a.kind.rank(), b.kind.rank()), cmp.Compare(a.index, b.index), cmp.Compare(a.file, b.file))
	})
	return all[:min(len(all), most)], nil
}

// beside gives the path of the channel's scale or offset; "": it has none.
func (n name) beside(dir string, files map[string]bool, what string) string {
	file := n.shared(files, what)
	if file == "" {
		return ""
	}
	return filepath.Join(dir, file)
}

// unit is that of the kind, or none at all: a distance without scale is only
// more or less.
func (c *channel) unit() string {
	if c.input == "" && c.scale == "" && c.kind.bare != "" {
		return c.kind.bare
	}
	return c.kind.unit
}

// absoluteZero, in Cel: nothing is colder.
const absoluteZero = -273.15

// read gives the value, unless the chip itself says that there is none.
func (c *channel) read(h *sysfs.Hand) (float64, error) {
	v, err := c.inKernelUnit(h)
	if err != nil {
		return 0, err
	}
	// The faults after the value: one that has just begun is seen.
	for _, file := range c.faults {
		bad, err := h.Number(file)
		if err != nil {
			return 0, err
		}
		if bad != 0 {
			return 0, fmt.Errorf("the chip says that its sensor is open or shorted: %s is %v", file, bad)
		}
	}
	if c.unit() == c.kind.unit {
		v = v * c.kind.times / c.kind.by
	}
	if c.kind.unit == "Cel" && v < absoluteZero {
		return 0, fmt.Errorf("%s is %v Cel, which is below absolute zero", c.file, v)
	}
	return v, nil
}

var errNoScale = errors.New("there is no scale for it, so its unit is not known")

func (c *channel) inKernelUnit(h *sysfs.Hand) (float64, error) {
	if c.input != "" {
		return h.Number(c.input)
	}
	if c.scale == "" && c.kind.bare == "" {
		return 0, fmt.Errorf("%s: %w", c.raw, errNoScale)
	}
	v, err := h.Number(c.raw)
	if err != nil {
		return 0, err
	}
	// Offset and scale each time: somebody may have changed the chip's range.
	if c.offset != "" {
		offset, err := h.Number(c.offset)
		if err != nil {
			return 0, err
		}
		v += offset
	}
	if c.scale != "" {
		scale, err := h.Number(c.scale)
		if err != nil {
			return 0, err
		}
		v *= scale
	}
	return v, nil
}
