package scan

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

// Buses gives the I2C buses that Linux has, by number: "i2c-1" and what their
// adapter is called. root is "/", or a folder with sys/ in tests.
func Buses(root string) (names []string, adapters map[string]string) {
	adapters = map[string]string{}
	links, _ := filepath.Glob(filepath.Join(root, "sys/bus/i2c/devices/i2c-[0-9]*")) // the pattern is right
	for _, link := range links {
		name := filepath.Base(link)
		names = append(names, name)
		adapters[name] = sysfs.Line(filepath.Join(link, "name"))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return names, adapters
}

// HeldOn gives the addresses on a bus that drivers of Linux have taken, with
// the names of these.
func HeldOn(root, bus string) map[uint16]string {
	held := map[uint16]string{}
	number, is := strings.CutPrefix(bus, "i2c-")
	if !is {
		return held
	}
	links, _ := filepath.Glob(filepath.Join(root, "sys/bus/i2c/devices", number+"-00[0-9a-f][0-9a-f]")) // the pattern is right
	for _, link := range links {
		driver, err := filepath.EvalSymlinks(filepath.Join(link, "driver"))
		if err != nil {
			continue // Linux has a name for it, but nobody uses it
		}
		_, hex, _ := strings.Cut(filepath.Base(link), "-")
		if addr, err := strconv.ParseUint(hex, 16, 16); err == nil {
			held[uint16(addr)] = filepath.Base(driver)
		}
	}
	return held
}

// A Shown is a device that Linux shows, which one of our drivers can read.
type Shown struct {
	Driver string `json:"driver"` // ours: hwmon, iio, w1
	Sensor string `json:"sensor"` // by which that driver finds it
	Name   string `json:"name"`   // what Linux calls it
	Place  string `json:"place,omitempty"`
}

// thermometer is a family of 1-Wire that driver w1 reads.
var thermometer = regexp.MustCompile(`^(10|22|28|3b|42)-[0-9a-f]{12}$`)

// Kernel gives the devices that Linux shows. A device that hangs holds it up:
// run it where that does no harm.
func Kernel(root string) (all []Shown) {
	for _, c := range []struct{ driver, links string }{{"hwmon", "sys/class/hwmon/hwmon"}, {"iio", "sys/bus/iio/devices/iio:device"}} {
		for _, l := range sysfs.List(sysfs.Class{Root: root, Links: c.links}) {
			all = append(all, Shown{Driver: c.driver, Sensor: l.Sensor, Name: l.Name, Place: l.Place})
		}
	}
	slaves, _ := filepath.Glob(filepath.Join(root, "sys/bus/w1/devices/*-*")) // the pattern is right
	for _, s := range slaves {
		if serial := filepath.Base(s); thermometer.MatchString(serial) {
			all = append(all, Shown{Driver: "w1", Sensor: serial, Name: serial})
		}
	}
	return all
}
