// Package hwmon reads the chips that the kernel shows in /sys/class/hwmon:
// temperatures, voltages, currents, powers, energies, humidities and fans
// (Documentation/hwmon/sysfs-interface.rst of Linux).
package hwmon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
		Name:     "hwmon",
		Doc:      "chips that a Linux driver shows in /sys/class/hwmon: temperature, voltage, current, power, energy, humidity, fans",
		Chips:    []string{"EMC1413", "TMP421"},
		Bus:      drivers.BusNone,
		Interval: 10 * time.Second,
		Timeout:  2 * time.Second,

		MostQuantities: most,
		Options: []drivers.Option{{
			Name: "sensor", Default: "", Example: "tmp421",
			Required: `which chip, such as "tmp421" or "i2c-1/1-004d"`,
			Doc: "Which chip: its name in /sys/class/hwmon/hwmon*/name, or the end of its device path (i2c-1/1-004d). " +
				"It must fit one chip only: if it fits none or several, the message lists those that there are.",
		}, sysfs.OptionQuantities},
		Files: map[string]string{"sys/class/hwmon/hwmon0/name": "tmp421\n", "sys/class/hwmon/hwmon0/temp1_input": "23438\n"},
		Open:  func(ctx context.Context, t drivers.Target) (drivers.Sensor, error) { return opener.Open(ctx, t, look) },
	}
}

// A kind is one sort of channel, with what its numbers are divided by.
type kind struct {
	files, name, unit string
	by                float64
}

// kinds are those of sysfs-interface.rst that are measured. A fan's turns per
// minute become turns per second.
var kinds = []kind{
	{"temp", "temperature", "Cel", 1e3},
	{"in", "voltage", "V", 1e3},
	{"curr", "current", "A", 1e3},
	{"power", "power", "W", 1e6},
	{"energy", "energy", "J", 1e6},
	{"humidity", "humidity", "%RH", 1e3},
	{"fan", "fan", "Hz", 60},
	{"freq", "frequency", "Hz", 1},
}

// An input is one channel of a chip.
type input struct {
	kind
	number   int
	value    string // its file
	fault    string // the file that says that its sensor is open or shorted; "": none
	enable   string // the file that says that it is measured; "": none
	suspects func(v float64) error
}

// look finds the wanted chip and its channels.
func look(h *sysfs.Hand, root, want string) (sysfs.Look, error) {
	d, err := h.Find(sysfs.Class{Root: root, Links: "sys/class/hwmon/hwmon"}, want)
	if err != nil {
		return sysfs.Look{}, err
	}
	if better := elsewhere[d.Name]; better != "" {
		return sysfs.Look{}, fmt.Errorf("%s is for the driver %s, which knows what such a chip says wrongly", d.Name, better)
	}
	inputs, err := inputsIn(d)
	if err != nil {
		return sysfs.Look{}, err
	}
	labels := make([]sysfs.Label, len(inputs))
	for i, in := range inputs {
		text, err := h.Optional(filepath.Join(d.Dir, in.files+strconv.Itoa(in.number)+"_label"))
		if err != nil {
			return sysfs.Look{}, err // without its label the quantity would get another name
		}
		labels[i] = sysfs.Label{Kind: in.name, Number: strconv.Itoa(in.number), Text: text}
	}
	channels := make([]sysfs.Channel, len(inputs))
	for i, name := range sysfs.Names(labels) {
		channels[i] = sysfs.Channel{
			Quantity: drivers.Quantity{Name: name, Unit: inputs[i].unit},
			Read: func() (float64, string, error) {
				v, err := inputs[i].read(h)
				return v, "", err
			},
		}
	}
	return sysfs.Look{Channels: channels, Same: h.Same(filepath.Join(d.Dir, "name"), d.Name)}, nil
}

var errNothing = errors.New("the chip has no channel that is measured")

// file is the name of a channel's file: kind, number, what it is.
var file = regexp.MustCompile(`^([a-z]+)(\d+)_(input|average|fault|enable)$`)

// inputsIn lists the channels of a chip by the names of its files.
func inputsIn(d sysfs.Device) ([]*input, error) {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", d.Name, err)
	}
	found := map[string]*input{}
	for _, e := range entries {
		part := file.FindStringSubmatch(e.Name())
		if part == nil {
			continue
		}
		k := slices.IndexFunc(kinds, func(k kind) bool { return k.files == part[1] })
		if k < 0 {
			continue
		}
		in := found[part[1]+part[2]]
		if in == nil {
			number, _ := strconv.Atoi(part[2])
			in = &input{kind: kinds[k], number: number, suspects: lie(d.Name, part[1])}
			found[part[1]+part[2]] = in
		}
		in.take(part[3], filepath.Join(d.Dir, e.Name()))
	}
	var all []*input
	for _, in := range found {
		if in.value != "" {
			all = append(all, in)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", d.Name, errNothing)
	}
	slices.SortFunc(all, func(a, b *input) int {
		return cmp.Or(cmp.Compare(rank(a.kind), rank(b.kind)), cmp.Compare(a.number, b.number))
	})
	return all[:min(len(all), most)], nil
}

func rank(k kind) int { return slices.Index(kinds, k) }

// take notes one file of the channel. A power has an average where it has no
// input.
func (in *input) take(what, path string) {
	switch {
	case what == "fault":
		in.fault = path
	case what == "enable":
		in.enable = path
	case what == "input" || in.files == "power" && in.value == "":
		in.value = path
	}
}

// absoluteZero, in Cel: nothing is colder.
const absoluteZero = -273.15

// read gives the value, unless the chip itself says that there is none.
func (in *input) read(h *sysfs.Hand) (float64, error) {
	if in.enable != "" {
		on, err := h.Number(in.enable)
		if err != nil {
			return 0, err
		}
		if on == 0 {
			return 0, fmt.Errorf("it is switched off: %s is 0", in.enable)
		}
	}
	v, err := h.Number(in.value)
	if err != nil {
		return 0, err
	}
	// The fault after the value: one that has just begun is seen.
	if in.fault != "" {
		bad, err := h.Number(in.fault)
		if err != nil {
			return 0, err
		}
		if bad != 0 {
			return 0, fmt.Errorf("its sensor is open or shorted: %s is %v", in.fault, bad)
		}
	}
	v /= in.by
	if in.unit == "Cel" && v < absoluteZero {
		return 0, fmt.Errorf("%s says %v Cel, which is below absolute zero", in.value, v)
	}
	if in.suspects != nil {
		return v, in.suspects(v)
	}
	return v, nil
}

// elsewhere names the driver for a chip that is not for this one.
var elsewhere = map[string]string{"w1_slave_temp": "w1"}

// lie gives what is known of wrong values of a kind of channel of a chip; nil:
// nothing.
func lie(chip, files string) func(v float64) error {
	if files == "temp" && strings.HasPrefix(chip, "emc14") {
		return emc14
	}
	return nil
}

// emc14 refuses 128 Cel and more. The kernel's driver takes a register with a
// sign for one without: -5 Cel would be 251. As it sets them up, the chips
// measure up to 127.875 Cel, so nothing true is lost.
func emc14(v float64) error {
	if v >= 128 {
		return fmt.Errorf("the kernel says %v Cel, which this chip cannot measure: it is below zero, or its diode is open", v)
	}
	return nil
}
