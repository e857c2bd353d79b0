package sysfs

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
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
		all[i].Name = Line(filepath.Join(all[i].Dir, "name"))
		all[i].Label = Line(filepath.Join(all[i].Dir, "label"))
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

// maxLine is how many bytes a name has at most.
const maxLine = 256

// Line gives the text of a file that holds a name; "" if it holds anything else:
// several lines, or what a terminal would obey. It may hang, as the device may.
func Line(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLine+1))
	text := strings.TrimSpace(string(b))
	if err != nil || len(b) > maxLine || text != clean(text) {
		return ""
	}
	return text
}

// clean gives a text with U+FFFD in the place of what cannot be printed. A text
// that is not UTF-8 is another one afterwards.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
