package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/cmd/cli"
)

// A supply whose line is not there is no reason to fall: without a daemon the
// device is visited all the same, because its power may be on.
func TestReadItselfWithASupplyThatIsNotThere(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "fieldgate.toml"), `version = 1
[[device]]
id = "boiler"
driver = "lm75"
bus = "sim-1"
  [device.power]
  line = "GPIO5"
`)
	for _, args := range [][]string{{"read", "boiler", "--config", file}, {"check", "--deep", file}} {
		code, out, errs := outcome(t, args...)
		if code != cli.ExitOK || !strings.Contains(out, "Cel") {
			t.Errorf("%v: exit %d\n%s\n%s", args, code, out, errs)
		}
	}
}
