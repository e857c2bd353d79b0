package e2e

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// CheckHelp looks at what help says of every flag of every command.
func CheckHelp(t *testing.T, commands any, help kong.HelpValueFormatter) {
	t.Helper()
	parser, err := kong.New(commands)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var look func(n *kong.Node)
	look = func(n *kong.Node) {
		values := append([]*kong.Value{}, n.Positional...)
		for _, f := range n.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			seen++
			checkValue(t, n.FullPath()+" "+v.Summary(), v, help(v))
		}
		for _, child := range n.Children {
			look(child)
		}
	}
	look(parser.Model.Node)
	if seen < 20 {
		t.Errorf("only %d flags were looked at", seen)
	}
}

func checkValue(t *testing.T, name string, v *kong.Value, help string) {
	t.Helper()
	switch {
	case v.IsBool() || v.Required || v.Name == "help":
	case v.Tag.Default != "" && !strings.Contains(help, "Default: "+v.Tag.Default):
		t.Errorf("%s does not say its default: %s", name, help)
	case v.Tag.Default == "" && !strings.Contains(strings.ToLower(help), "without"):
		t.Errorf("%s does not say what counts without it: %s", name, help)
	}
	if v.Target.Type() == reflect.TypeFor[time.Duration]() && !strings.Contains(help, "90s") {
		t.Errorf("%s does not say its unit: %s", name, help)
	}
}
