package sysfs

import (
	"os"
	"path/filepath"
	"strings"
)

// A Listed is a device of a class for people who look what there is.
type Listed struct {
	Name   string
	Sensor string // by which Find finds it, and no other
	Place  string // the end of its path; "" if it has none
}

// List gives the devices of a class that have a name. It reads files without a
// Hand: a device that hangs holds it up.
func List(c Class) (listed []Listed) {
	all, _ := c.list() // the pattern is right
	for i := range all {
		all[i].Name = line(filepath.Join(all[i].Dir, "name"))
		all[i].Label = line(filepath.Join(all[i].Dir, "label"))
	}
	for i, d := range all {
		l := Listed{Name: d.Name, Sensor: d.Name, Place: short(d, all)}
		for j, o := range all {
			if i != j && (o.called(d.Name) || o.at(d.Name)) {
				l.Sensor = l.Place // its name is another's, too
			}
		}
		if l.Name != "" && l.Sensor != "" {
			listed = append(listed, l)
		}
	}
	return listed
}

func line(file string) string {
	b, _ := os.ReadFile(file) // "" says it
	return strings.TrimSpace(string(b))
}
