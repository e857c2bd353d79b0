package main

import (
	"fmt"
	"strings"

	"github.com/fieldgate/fieldgate/drivers/scan"
)

// scanFound is all that a scan found.
type scanFound struct {
	buses  []scan.Bus
	kernel []scan.Shown
	hangs  bool
	ids    []string // of the configuration
}

func (f *scanFound) take(l scanLine) {
	if l.Bus != nil {
		f.buses = append(f.buses, *l.Bus)
	}
	f.kernel, f.ids, f.hangs = append(f.kernel, l.Kernel...), append(f.ids, l.IDs...), f.hangs || l.Hangs
}

func (f *scanFound) toml() string { return scan.TOML(f.buses, f.kernel, f.ids) }

// object is what --json prints.
func (f *scanFound) object() any {
	return map[string]any{
		"buses": append([]scan.Bus{}, f.buses...), "kernel": append([]scan.Shown{}, f.kernel...), "hangs": f.hangs, "toml": f.toml(),
	}
}

// text is what was found, for people, and what they can paste.
func (f *scanFound) text() string {
	var b strings.Builder
	if len(f.buses) == 0 {
		b.WriteString("There is no I2C bus: switch it on (dtparam=i2c_arm=on), and load i2c-dev.\n")
	}
	read := false
	for _, bus := range f.buses {
		busText(&b, bus)
		for _, c := range bus.Chips {
			read = read || c.Read
		}
	}
	if len(f.kernel) > 0 {
		b.WriteString("\nLinux shows\n")
	}
	for _, k := range f.kernel {
		fmt.Fprintf(&b, "  %s: driver %s%s\n", k.Name, k.Driver, inBrackets(k.Place))
	}
	if f.hangs {
		b.WriteString("\nWhat else Linux shows is not known: one of its devices did not answer in 5 s.\n")
	}
	if len(f.buses) > 0 {
		b.WriteString("\nNothing was changed. Chips were only addressed, and those whose drivers know how\nwere asked who they are.\n")
	}
	if read {
		b.WriteString("At 0x30 to 0x37 and 0x50 to 0x5f one byte was read. A memory chip there\ngoes on reading one place further.\n")
	}
	if toml := f.toml(); toml != "" {
		fmt.Fprintf(&b, "\nTo paste into /etc/fieldgate/fieldgate.toml:\n\n%s", toml)
	}
	return b.String()
}

func busText(b *strings.Builder, bus scan.Bus) {
	fmt.Fprintf(b, "%s%s: %s, %.2f s\n", bus.Name, inBrackets(bus.Adapter), counted(uint64(len(bus.Chips)), "chip"), bus.Took/1000)
	for _, c := range bus.Chips {
		fmt.Fprintf(b, "  0x%02x  %s\n", c.Address, chipText(c))
	}
	if bus.Error != "" {
		fmt.Fprintf(b, "  not scanned to its end: %s\n", bus.Error)
	}
}

func chipText(c scan.Chip) string {
	switch {
	case c.State == scan.Configured && c.Health != "" && c.Health != "ok":
		return fmt.Sprintf("configured: %s (driver %s), but it is %s", c.Device, c.Driver, c.Health)
	case c.State == scan.Configured && c.Device == "":
		return "configured: " + c.Chip
	case c.State == scan.Configured:
		return fmt.Sprintf("configured: %s (driver %s)", c.Device, c.Driver)
	case c.State == scan.Held && c.Driver != "":
		return fmt.Sprintf("not asked: the driver %s of Linux has it", c.Driver)
	case c.State == scan.Held:
		return "not asked: a driver of Linux has it"
	case c.Chip == scan.Multiplexer:
		return fmt.Sprintf("multiplexer: a device behind it has bus = \"BUS/0x%02x/CHANNEL\"", c.Address)
	case c.Chip != "":
		return fmt.Sprintf("%s: driver %s", c.Chip, c.Driver)
	case len(c.Guesses) > 0:
		return "something that cannot say what it is; it may be one for driver " + strings.Join(c.Guesses, " or ")
	}
	return "something for which there is no driver here"
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
