package config_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/config"
)

// allocated gives the bytes that f takes from the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const pushedMost = 128 << 10 // bytes of a configuration that the cloud pushes

// hostile are documents of any size that cost more than their size if nothing
// is bounded.
var hostile = map[string]func(size int) string{
	"dotted key":         func(n int) string { return strings.Repeat("a.", n/2) + "a = 1\n" },
	"dotted header":      func(n int) string { return "[" + strings.Repeat("a.", n/2) + "a]\n" },
	"quoted dotted key":  func(n int) string { return strings.Repeat(`"a".`, n/4) + "a = 1\n" },
	"dots with spaces":   func(n int) string { return strings.Repeat("a . ", n/4) + "a = 1\n" },
	"lists in lists":     func(n int) string { return "a = " + strings.Repeat("[", n/2) + strings.Repeat("]", n/2) + "\n" },
	"lists over lines":   func(n int) string { return "a = " + strings.Repeat("[\n", n/2) },
	"tables in tables":   func(n int) string { return "a = " + strings.Repeat("{a=", n/4) + "1" + strings.Repeat("}", n/4) + "\n" },
	"dots in tables":     func(n int) string { return "a = {" + strings.Repeat("a.", n/2) + "a = 1}\n" },
	"unknown keys":       func(n int) string { return lined(n, "k%d = 1\n") },
	"unknown headers":    func(n int) string { return lined(n, "[k%d]\n") },
	"one key again":      func(n int) string { return strings.Repeat("k = 1\n", n/6) },
	"no TOML":            func(n int) string { return strings.Repeat("k = = 1\n", n/8) },
	"open strings":       func(n int) string { return strings.Repeat("k = \"\"\"\n", n/8) },
	"open strings and [": func(n int) string { return strings.Repeat("k = '[\n", n/16) + "k = " + strings.Repeat("[", n/2) },
	"escaped ends":       func(n int) string { return strings.Repeat("k = \"\\\n", n/16) + "k = " + strings.Repeat("[", n/2) },
	"wrong in one line":  func(n int) string { return "a = {" + strings.Repeat("b=1,", n/4) + "c=1}\n" },
	"one long list":      func(n int) string { return "[local]\nhosts = [" + strings.Repeat("1,", n/2) + "]\n" },
	"one long number":    func(n int) string { return "version = " + strings.Repeat("9", n) + "\n" },
	"a large exponent": func(n int) string {
		return "[[device]]\nid = \"a\"\n[[device.channel]]\nscale = 1e" + strings.Repeat("9", n) + "\n"
	},
	"devices without keys": func(n int) string { return strings.Repeat("[[device]]\n", n/11) },
	"devices of one name":  func(n int) string { return strings.Repeat("[[device]]\nid=\"a\"\n", n/18) },
	"channels":             func(n int) string { return "[[device]]\n" + strings.Repeat("[[device.channel]]\n", n/19) },
	"quotes":               func(n int) string { return "k = " + strings.Repeat(`"`, n) + "\n" },
	"brackets in comments": func(n int) string { return "# " + strings.Repeat("[", n) + "\n" },
}

func lined(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A document costs memory by its size, whatever stands in it, and so does what
// is told about it.
func TestWhatADocumentCosts(t *testing.T) {
	for name, make := range hostile {
		doc := []byte(make(pushedMost))
		for how, read := range map[string]func() error{
			"pushed": func() error {
				_, err := config.Overlay("version 7 of the cloud", doc, config.Default(), table)
				return err
			},
			"file": func() error { _, err := config.ParseText(doc, table); return err },
		} {
			var err error
			if took := allocated(func() { err = read() }); took > 48<<20 {
				t.Errorf("%s, %s: %d KiB of it take %d MiB", name, how, len(doc)>>10, took>>20)
			}
			var ps config.Problems
			if err != nil && !errors.As(err, &ps) || len(ps) > 101 || err != nil && len(err.Error()) > 64<<10 {
				t.Errorf("%s, %s: %d problems, %d bytes of words", name, how, len(ps), len(fmt.Sprint(err)))
			}
		}
	}
}

// Depth and number are bounded before the parser works on them, so a larger
// file costs no more.
func TestALargeFileCostsItsSize(t *testing.T) {
	for _, name := range []string{
		"dotted key", "lists in lists", "tables in tables", "one long list", "dots in tables", "lists over lines", "wrong in one line",
	} {
		text := hostile[name](3 << 20)
		var err error
		if took := allocated(func() { _, err = load(t, "f.toml", text) }); took > 64<<20 || err == nil {
			t.Errorf("%s: %d MiB of it take %d MiB, %v", name, len(text)>>20, took>>20, err != nil)
		}
	}
}

func TestWhatIsBoundedIsToldInWords(t *testing.T) {
	const many = "there is more\n"
	for name, c := range map[string]struct{ text, want string }{
		"deep key": {"version = 1\n" + hostile["dotted key"](80),
			"2:34: this is nested deeper than any key is: at most 16 levels are read, and nothing behind this"},
		"deep list": {"version = 1\n" + hostile["lists in lists"](80),
			"2:21: this is nested deeper than any key is: at most 16 levels are read, and nothing behind this"},
		"many values": {"version = 1\n[local]\nhosts = [" + strings.Repeat("\n1,", 1<<16) + "]\n",
			"3:1: this configuration has more than 65536 values; nothing behind this is read"},
	} {
		_, err := load(t, "f.toml", c.text+many)
		if got := lines(err); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s: got %.80s, want %q", name, got, c.want)
		}
	}
	_, err := load(t, "f.toml", "version = 1\n"+lined(2000, "k%d = 1\n"))
	if got := lines(err); len(got) != 101 || !strings.Contains(got[100], "more problems are not told here") {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
	_, err = load(t, "f.toml", "version = 1\n"+strings.Repeat("#\n", 3<<20))
	if err == nil || !strings.Contains(err.Error(), "f.toml is too large: at most 4194304 bytes are read") {
		t.Errorf("a file of 6 MiB: %.100v", err)
	}
}

// Brackets, quotes and dots count only where they are TOML.
func TestWhatOnlyLooksDeep(t *testing.T) {
	text := "version = 1 # " + strings.Repeat("[{.", 40) + "\n[local] # \"\nhosts = [ # '''\n  \"a\", # ]\n  'b', \"\"\"c\"\"\",\n]\n"
	for i := range 40 {
		text += fmt.Sprintf("[[device]]\nid = \"d%d\"\ndriver = \"lm75\"\nbus = \"sim-%d\"\n"+
			"[[device.channel]]\nquantity = \"temperature\"\nrange = [-1.5, 1.5]\n", i, i)
	}
	cfg, err := load(t, "f.toml", text)
	if err != nil || len(cfg.Devices) != 40 || len(cfg.Local.Hosts) != 3 {
		t.Errorf("%v", err)
	}
	text = "version = 1\n[[device]]\nid = \"a\"\ndriver = \"gpio-in\"\nline = \"" + strings.Repeat("[", 40) +
		strings.Repeat(".", 40) + "\\\"\"\n"
	if cfg, err := load(t, "f.toml", text); err != nil || len(cfg.Devices[0].Line) != 81 {
		t.Errorf("brackets in a string: %v", err)
	}
}
