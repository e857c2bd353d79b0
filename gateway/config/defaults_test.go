package config_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/config"
)

// A file that writes out every documented default is the same configuration
// as one that writes none: so what the manual says is what the program does.
func TestDocumentedDefaultsAreTheDefaults(t *testing.T) {
	const head = "version = 1\n"
	const device = "[[device]]\nid = \"a\"\ndriver = \"gpio-in\"\nline = \"L\"\n"
	const channel = "[[device.channel]]\nquantity = \"level\"\n"
	const power = "[device.power]\nline = \"P\"\n"
	tables := map[string]string{"device[]": device, "device[].channel[]": channel, "device[].power": power}
	var order []string
	for _, f := range config.Fields() {
		dot := strings.LastIndexByte(f.Path, '.')
		if f.Default == "" || dot < 0 {
			continue
		}
		name := f.Path[:dot]
		if _, begun := tables[name]; !begun {
			tables[name] = "[" + name + "]\n"
		}
		if len(order) == 0 || order[len(order)-1] != name {
			order = append(order, name)
		}
		value := f.Default
		if f.Type == "string" || f.Type == "path" || f.Type == "duration" || f.Type == "size" {
			value = `"` + value + `"`
		}
		tables[name] += f.Path[dot+1:] + " = " + value + "\n"
	}
	text := head
	for _, name := range order {
		text += tables[name]
	}
	written, err := load(t, "f.toml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	silent, err := load(t, "f.toml", head+device+power+channel)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(written, silent) {
		t.Errorf("written out: %+v\nleft out:    %+v", written, silent)
	}
	if want := len(order); want < 4 {
		t.Errorf("only %d tables have defaults: %v", want, order)
	}
	silent.Devices = nil
	if !reflect.DeepEqual(config.Default(), silent) {
		t.Errorf("Default() is %+v, an empty file gives %+v", config.Default(), silent)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, f := range config.Fields() {
		if !strings.HasSuffix(f.Doc, ".") || f.Type == "" {
			t.Errorf("%s has type %q and says %q", f.Path, f.Type, f.Doc)
		}
	}
}

// Whatever the file holds: a configuration or problems, each with a place
// inside the file, and no panic.
func FuzzLoad(f *testing.F) {
	ten, err := os.ReadFile("testdata/ten.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ten)
	f.Add([]byte("version = 1\na.b.c = [1, [2], {d = 3}]\n[[device]]\n[device.channel]\n[[device.channel]]\n"))
	f.Add([]byte("version = 1\nx = \"\"\"\nabc"))
	f.Add([]byte("[[device]\nid = 1\n[[\n[a]]\nb = {"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.ParseText(data, table)
		var ps config.Problems
		if (cfg == nil) == (err == nil) || err != nil && (!errors.As(err, &ps) || len(ps) == 0) {
			t.Fatalf("got %v and %v", cfg, err)
		}
		n := strings.Count(string(data), "\n") + 1
		for _, p := range ps {
			if p.Line < 1 || p.Line > n || p.Col < 1 {
				t.Errorf("%d:%d is outside of the file of %d lines", p.Line, p.Col, n)
			}
		}
	})
}
