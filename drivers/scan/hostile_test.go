package scan_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/fieldgate/fieldgate/drivers/scan"
)

// What a device calls itself reaches terminals and the configuration: nothing of
// it moves a cursor or begins a line, and it is short.
func TestNamesOfLinuxAreHarmless(t *testing.T) {
	root := system(t, map[string]string{
		"sys/class/hwmon/hwmon0/name":       "ev\x1b[31mil\nid = \"x\"\n",
		"sys/class/hwmon/hwmon1/name":       strings.Repeat("A", 1<<20),
		"sys/class/hwmon/hwmon2/name/x":     "a folder in the place of a file",
		"sys/class/hwmon/hwmon3/name":       "tmp421\n",
		"sys/class/hwmon/hwmon4/name":       "tmp\xff\xfe\n",
		"sys/bus/i2c/devices/i2c-1/name":    "adap\x1b]0;x\x07ter\nsecond",
		"sys/bus/iio/devices/iio:device0/x": "no name",
	})
	shown := scan.Kernel(root)
	if len(shown) != 1 || shown[0].Name != "tmp421" || shown[0].Sensor != "tmp421" {
		t.Errorf("shown: %.200q", shown)
	}
	names, adapters := scan.Buses(root)
	if len(names) != 1 || strings.IndexFunc(adapters["i2c-1"], unicode.IsControl) >= 0 {
		t.Errorf("buses %q, %q", names, adapters)
	}
}
