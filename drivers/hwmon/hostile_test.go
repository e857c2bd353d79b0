package hwmon_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/hwmon"
)

// An error names the devices that there are. It is shown on terminals.
func TestErrorHoldsNothingThatATerminalObeys(t *testing.T) {
	root := drivertest.Tree(t, map[string]string{"sys/class/hwmon/hwmon0/name": "ev\x1b[31mil\nWRONG nothing\n"})
	d := hwmon.Driver()
	options := d.Defaults()
	options["sensor"] = "tmp421"
	_, err := d.Open(t.Context(), drivers.Target{SysRoot: root, Options: options})
	if err == nil || !strings.Contains(err.Error(), "il") || strings.IndexFunc(err.Error(), unicode.IsControl) >= 0 {
		t.Errorf("%q", err)
	}
}
