package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway/config"
)

var update = flag.Bool("update", false, "write the files that are made of the code anew")

const makeReference = "make reference"

// configuration.md is made of the tags of the configuration and of the table
// of drivers.
func TestREADMEReferenceOfKeys(t *testing.T) {
	made(t, "../../packaging/doc/configuration.md", reference())
}

// So is the file that the package ships.
func TestREADMEReferenceShipped(t *testing.T) {
	made(t, "../../packaging/fieldgate.toml", shipped())
}

// made compares a file with what the code says, or writes it.
func made(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if document(t, path) != text {
		t.Errorf("%s is not what the code says: run %s", path, makeReference)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Every key of the configuration

This page is made from the code by ` + "`" + makeReference + "`" + `; nobody edits it.

The configuration is TOML: ` + "`/etc/fieldgate/fieldgate.toml`, and `conf.d/*.toml` beside it" + `.
` + "`fieldgate check`" + ` reports everything that is wrong with it. A key that is not known is an error.
A key that was taken away is a warning for one release, and then an error.
Changes count after ` + "`systemctl restart fieldgate`" + `.

- A **duration** is a number with its unit, in quotes: ` + "`\"500ms\"`, `\"10s\"`, `\"1m30s\"`, `\"12h\"`, `\"30d\"`" + `.
- A **size** is a whole number with its unit, in quotes: ` + "`B`, `KiB`, `MiB`, `GiB`, `TiB`" + `.
- A **path** begins with ` + "`/`" + `.
`)
	fields := config.Fields()
	for _, t := range append([]config.Table{{}}, config.Tables()...) {
		title := "At the top of the file"
		if t.Path != "" {
			title = config.Header(t.Path)
		}
		fmt.Fprintf(&b, "\n## %s\n", title)
		if t.Doc != "" {
			fmt.Fprintf(&b, "\n%s\n", t.Doc)
		}
		for _, f := range fields {
			if key, is := keyOf(f, t); is {
				fmt.Fprintf(&b, "\n### %s\n\n%s\n\n%s\n", key, facts(f), f.Doc)
			}
		}
	}
	b.WriteString("\n## Drivers\n")
	for _, d := range builtin.Drivers() {
		b.WriteString(driverText(d))
	}
	return b.String()
}

// Every line of the shipped file that is in a comment is good when it is not:
// of the two ways to a proxy one at a time, and one example of a device at a
// time, because two of them may want one place.
func TestREADMEReferenceInComments(t *testing.T) {
	text := shipped()
	examples := strings.Split(text[:strings.Index(text, keysOfDevices)], "\n# [[device]]\n")
	keys, seen := inEffect(examples[0])
	for _, example := range examples[1:] {
		device, n := inEffect(example)
		seen += n
		file := write(t, filepath.Join(t.TempDir(), "all.toml"), keys+"\n[[device]]\n"+device)
		if code, _, errs := outcome(t, "check", file); code != cli.ExitOK {
			t.Errorf("exit %d\n%s\n%s", code, errs, device)
		}
	}
	if seen < 25 {
		t.Errorf("only %d lines were tried", seen)
	}
}

// inEffect takes the "# " from every key, and counts them.
func inEffect(text string) (string, int) {
	seen := 0
	return regexp.MustCompile(`(?m)^# [a-z_]+ = .*$`).ReplaceAllStringFunc(text, func(line string) string {
		if strings.HasPrefix(line, "# proxy = ") {
			return line
		}
		seen++
		return line[2:]
	}), seen
}

// keyOf gives the name of a key, and whether it is in the table.
func keyOf(f config.Field, t config.Table) (key string, is bool) {
	dot := strings.LastIndexByte(f.Path, '.')
	return f.Path[dot+1:], f.Path[:max(dot, 0)] == t.Path
}

// facts are the type, the bounds and the default of a key.
func facts(f config.Field) string {
	parts := []string{f.Type}
	if f.Unit != "" {
		parts = append(parts, "in "+f.Unit)
	}
	if f.Required {
		parts = append(parts, "must be set")
	}
	if len(f.OneOf) > 0 {
		parts = append(parts, "one of `"+strings.Join(f.OneOf, "`, `")+"`")
	}
	if f.Min != "" && !strings.HasPrefix(f.Min, "0") {
		parts = append(parts, "at least `"+f.Min+"`")
	}
	if f.Max != "" {
		parts = append(parts, "at most `"+f.Max+"`")
	}
	if f.Default != "" {
		parts = append(parts, "default `"+f.Default+"`")
	}
	text := "*" + strings.Join(parts, ", ") + "*"
	if f.Example != "" {
		text += ". Example: `" + f.Example + "`"
	}
	return text
}

func driverText(d drivers.Driver) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n", d.Name, strings.ToUpper(d.Doc[:1])+d.Doc[1:])
	fmt.Fprintf(&b, "- interval: `%s` unless set; a visit may take `%s`\n", span(d.Interval), span(d.Timeout))
	switch d.Bus {
	case drivers.BusI2C:
		fmt.Fprintf(&b, "- needs `bus`; `address` is %s; `%#02x` unless set\n", addresses(d.Addresses), d.Address)
	case drivers.BusSPI:
		b.WriteString("- needs `bus`\n")
	case drivers.BusGPIO:
		b.WriteString("- needs `line`; may have `chip` and `active_low`\n")
	}
	var quantities []string
	for _, q := range d.Quantities {
		quantities = append(quantities, fmt.Sprintf("`%s` in `%s`", q.Name, q.Unit))
	}
	if quantities != nil {
		fmt.Fprintf(&b, "- quantities: %s\n", strings.Join(quantities, ", "))
	}
	for _, o := range d.Options {
		if fmt.Fprintf(&b, "- `%s`: %s", o.Name, o.Doc); o.Required != "" {
			fmt.Fprintf(&b, " Must be set. Example: `%v`.", o.Example)
		} else {
			fmt.Fprintf(&b, " Default: `%v`.", o.Default)
		}
		if o.OneOf != nil {
			fmt.Fprintf(&b, " One of %s.", choices(o.OneOf))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// span writes a duration as the configuration does.
func span(d time.Duration) string {
	if text, whole := strings.CutSuffix(d.String(), "m0s"); whole {
		return text + "m"
	}
	return d.String()
}

func addresses(as []uint16) string {
	if as == nil {
		return "any from `0x08` to `0x77`"
	}
	var all []string
	for _, a := range as {
		all = append(all, fmt.Sprintf("`%#02x`", a))
	}
	return "one of " + strings.Join(all, ", ")
}

func choices(values []any) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("`%v`", v))
	}
	return strings.Join(all, ", ")
}

// shipped is the configuration of the package: what counts at first, and every
// other key in a comment.
func shipped() string {
	var b strings.Builder
	b.WriteString(`# fieldgate: what this gateway reads and where it sends it. The program never writes this file.
# After a change:  fieldgate check  &&  systemctl restart fieldgate
# More files, read in the order of their names, may lie in conf.d/. They may add devices, and set what is not set here.
#
# A key behind "# " does not count; what it shows is its default, or an example where it has none.
# This file is made from the code by ` + makeReference + `. The same, to read: /usr/share/doc/fieldgate/configuration.md
`)
	for _, t := range append([]config.Table{{}}, config.Tables()...) {
		if strings.HasPrefix(t.Path, "device[]") {
			break // devices have examples of their own
		}
		if t.Path != "" {
			fmt.Fprintf(&b, "\n%s\n# %s\n%s\n", rule, t.Doc, config.Header(t.Path))
		}
		b.WriteString(keysOf(t, true))
	}
	fmt.Fprintf(&b, "\n%s\n# %s\n", rule, "What is read: one table for each device.")
	for _, d := range builtin.Drivers() {
		b.WriteString(exampleOf(d))
	}
	fmt.Fprintf(&b, "\n%s\n%s\n", rule, keysOfDevices)
	for _, t := range config.Tables() {
		if strings.HasPrefix(t.Path, "device[]") {
			fmt.Fprintf(&b, "\n# %s\n%s", config.Header(t.Path), keysOf(t, false))
		}
	}
	return b.String()
}

const keysOfDevices = "# What [[device]] and, below it, [[device.channel]] may have."

var rule = "# " + strings.Repeat("-", 98)

// keysOf writes the keys of a table, those that the file ships without a "# ".
func keysOf(t config.Table, apart bool) string {
	var b strings.Builder
	for _, f := range config.Fields() {
		key, is := keyOf(f, t)
		if !is {
			continue
		}
		if apart {
			b.WriteString("\n")
		}
		notes := f.Doc
		if f.Unit != "" && strings.HasPrefix(f.Unit, "the") {
			notes += " In " + f.Unit + "."
		}
		b.WriteString(comment(notes))
		if f.Ship != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, f.Ship)
			continue
		}
		fmt.Fprintf(&b, "# %s = %s\n", key, shown(f))
	}
	return b.String()
}

// shown is what a comment sets a key to: its default, else an example.
func shown(f config.Field) string {
	switch {
	case f.Default == "" || f.Example != "":
		return f.Example
	case f.Type == "bool" || f.Type == "number" || f.Type == "integer":
		return f.Default
	}
	return fmt.Sprintf("%q", f.Default)
}

// comment breaks text into lines of a comment.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// exampleIDs are names for devices of some drivers; others are called like
// their driver.
var exampleIDs = map[string]string{"lm75": "boiler", "gpio-in": "door", "hostsys": "board", "hwmon": "cabinet",
	"iio": "air", "w1": "tank", "thermal": "processor", "pulse-counter": "water"}

// exampleOf is a device of a driver: the board itself counts, others are in
// comments.
func exampleOf(d drivers.Driver) string {
	lines := []string{"[[device]]", fmt.Sprintf("id = %q", cmp.Or(exampleIDs[d.Name], d.Name)),
		fmt.Sprintf("driver = %q", d.Name)}
	switch d.Bus {
	case drivers.BusI2C:
		lines = append(lines, `bus = "i2c-1"`, fmt.Sprintf("address = %#02x", d.Address))
	case drivers.BusSPI:
		lines = append(lines, `bus = "spi-0.0"`)
	case drivers.BusGPIO:
		lines = append(lines, `line = "GPIO17"`)
	}
	lines = append(lines, fmt.Sprintf("interval = %q", span(d.Interval)))
	for _, o := range d.Options {
		shown, mark := o.Default, "# "
		if o.Required != "" {
			shown, mark = o.Example, ""
		}
		value := fmt.Sprint(shown)
		if _, is := shown.(string); is {
			value = fmt.Sprintf("%q", value)
		}
		lines = append(lines, strings.TrimSuffix(comment(o.Doc), "\n"), fmt.Sprintf("%s%s = %s", mark, o.Name, value))
	}
	text := "\n" + comment(strings.ToUpper(d.Doc[:1])+d.Doc[1:]+":")
	for _, line := range strings.Split(strings.Join(lines, "\n"), "\n") {
		if d.Name != "hostsys" && !strings.HasPrefix(line, "#") {
			line = "# " + line
		}
		text += line + "\n"
	}
	return text
}
