package sysfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fieldgate/fieldgate/drivers"
)

// A Device is one that the kernel shows in a class of devices.
type Device struct {
	Name  string // what its driver calls the chip, "tmp421"
	Label string // what the board's maker calls it; mostly ""
	// Dir is where its files are. It goes through the parent device, so that
	// another device that later gets the same number has another Dir.
	Dir string
	// Path is where the chip is among all devices, without numbers that
	// change at a restart: "platform/soc/3f804000.i2c/i2c-1/1-004d". "" if
	// there is nothing but a number.
	Path string
	// Node is its place in the device tree, "soc/i2c@7e804000/temp@4d"; "" if
	// it has none.
	Node string
}

// numbered is the last part of a path that only counts devices.
var numbered = regexp.MustCompile(`^(hwmon|iio:device|thermal_zone)\d+$`)

// A Class is a kind of devices under a root: their links begin with Links,
// "sys/class/hwmon/hwmon".
type Class struct {
	Root, Links string
}

// Find gives the one device that is wanted: by the end of its path or its
// node, else by its name. That there is none is drivers.ErrAbsent; both that
// and several are told with a list.
func (h *Hand) Find(c Class, want string) (Device, error) {
	all, err := c.list()
	if err != nil {
		return Device{}, err
	}
	// By path first: then no other device's name is read, which may be stuck.
	fit := slices.DeleteFunc(slices.Clone(all), func(d Device) bool { return !d.at(want) })
	if len(fit) == 1 {
		err := h.name(&fit[0])
		return fit[0], err
	}
	all, trouble := h.names(all)
	if errors.Is(trouble, errLeft) {
		return Device{}, trouble
	}
	fit = slices.DeleteFunc(slices.Clone(all), func(d Device) bool { return !d.called(want) && !d.at(want) })
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) > 1:
		return Device{}, fmt.Errorf("%q can be %d devices: say which by the end of its path: %s", want, len(fit), list(fit))
	case trouble != nil:
		return Device{}, fmt.Errorf("the kernel shows %s, and one whose name cannot be read: %w", list(all), trouble)
	case len(all) == 0:
		return Device{}, fmt.Errorf("%w: the kernel shows no device of this kind at all", drivers.ErrAbsent)
	}
	return Device{}, fmt.Errorf("%w: the kernel shows no such device; it shows %s", drivers.ErrAbsent, list(all))
}

// list gives the devices of the class without their names, in the order of
// their numbers.
func (c Class) list() ([]Device, error) {
	links, err := filepath.Glob(filepath.Join(c.Root, c.Links) + "[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	slices.SortFunc(links, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	var all []Device
	for _, link := range links {
		dir, err := filepath.EvalSymlinks(link)
		if err != nil {
			continue // it has just gone
		}
		all = append(all, c.device(dir))
	}
	return all, nil
}

func (c Class) device(dir string) Device {
	parent, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
	if err != nil {
		parent = strings.TrimSuffix(filepath.Dir(dir), "/hwmon")
	}
	d := Device{Dir: dir, Path: below(c.Root, "sys/devices", parent)}
	if numbered.MatchString(filepath.Base(d.Path)) || d.Path == "virtual" {
		d.Path = ""
	}
	if node, err := filepath.EvalSymlinks(filepath.Join(parent, "of_node")); err == nil {
		d.Node = below(c.Root, "sys/firmware/devicetree/base", node)
	}
	return d
}

// names reads the names of devices, and leaves out those that have none. An
// error says why one cannot be read.
func (h *Hand) names(all []Device) (named []Device, trouble error) {
	for _, d := range all {
		err := h.name(&d)
		switch {
		case err == nil:
			named = append(named, d)
		case !errors.Is(err, fs.ErrNotExist):
			trouble = err
		}
	}
	return named, trouble
}

func (h *Hand) name(d *Device) (err error) {
	if d.Name, err = h.Text(filepath.Join(d.Dir, "name")); err != nil {
		return err
	}
	d.Label, err = h.Optional(filepath.Join(d.Dir, "label"))
	return err
}

// below gives path without root and folder; "" if it is not in there.
func below(root, folder, path string) string {
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	rest, err := filepath.Rel(filepath.Join(root, folder), path)
	if err != nil || rest == "." || strings.HasPrefix(rest, "..") {
		return ""
	}
	return rest
}

// at tells whether the device is at the wanted place.
func (d Device) at(want string) bool {
	want = strings.TrimPrefix(want, "/sys/devices/")
	return ends(d.Path, want) || ends(d.Node, want)
}

// called tells whether the device has the wanted name.
func (d Device) called(want string) bool { return want != "" && (d.Name == want || d.Label == want) }

// ends tells whether path ends with the whole parts of end.
func ends(path, end string) bool {
	return path != "" && end != "" && strings.HasSuffix("/"+path, "/"+strings.TrimPrefix(end, "/"))
}

// maxListed is how many devices an error names.
const maxListed = 12

// list names devices for people, each with as much of its path as tells it
// from the others.
func list(all []Device) string {
	var parts []string
	for i, d := range all {
		if i == maxListed {
			parts = append(parts, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		if path := short(d, all); path != "" {
			parts = append(parts, fmt.Sprintf("%s (%s)", clean(d.Name), clean(path)))
		} else {
			parts = append(parts, clean(d.Name))
		}
	}
	return strings.Join(parts, ", ")
}

// short is the end of the path: two parts, or as many as no other device has.
func short(d Device, all []Device) string {
	parts := strings.Split(d.Path, "/")
	for n := 2; n < len(parts); n++ {
		end := strings.Join(parts[len(parts)-n:], "/")
		if !slices.ContainsFunc(all, func(o Device) bool { return o.Path != d.Path && ends(o.Path, end) }) {
			return end
		}
	}
	return d.Path
}
