//go:build pi

package pi

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// kernelDevices reads chips through drivers of Linux: found by name, by place, and by type.
const kernelDevices = `[[device]]
id = "rack"
driver = "hwmon"
sensor = "tmp421"
interval = "1s"
[[device]]
id = "cabinet"
driver = "hwmon"
sensor = "i2c-1/1-004c"
interval = "1s"
[[device]]
id = "air"
driver = "iio"
sensor = "dps310"
interval = "1s"
[[device]]
id = "compass"
driver = "iio"
sensor = "i2c-1/1-001e"
interval = "1s"
[[device]]
id = "processor"
driver = "thermal"
interval = "1s"
`

// kernelFile is where they are in the guest.
const kernelFile = "/etc/fieldgate/conf.d/kernel.toml"

// kernelChips are those on bus 1, as new_device wants them.
var kernelChips = []string{"tmp421 0x4d", "emc1403 0x4c", "lsm303dlhc_magn 0x1e", "dps310 0x77"}

// A kernelValue is one that a driver of Linux gives, and fieldgate too.
type kernelValue struct {
	set      func(*testing.T, *board) // what the chip measures; nil: it is constant
	device   string
	quantity string
	want     float64 // 0: only what the files say
	files    string  // whose product is the value in the kernel's unit
	by       float64 // of which the value is so many
}

func measures(chip, property string, value int) func(*testing.T, *board) {
	return func(t *testing.T, b *board) { b.set(t, "/machine/peripheral/"+chip, property, value) }
}

const (
	onI2C = "/sys/bus/i2c/devices/"
	rack  = onI2C + "1-004d/hwmon/hwmon*/"
	cab   = onI2C + "1-004c/hwmon/hwmon*/"
	mag   = onI2C + "1-001e/iio:device*/"
	air   = onI2C + "1-0077/iio:device*/"
)

// kernelValues were found on the board by hand; QEMU's chips round what they are told.
var kernelValues = []kernelValue{
	{measures("rack", "temperature0", 23456), "rack", "temperature1", 23.438, rack + "temp1_input", 1e3},
	{measures("rack", "temperature1", -12375), "rack", "temperature2", -12.375, rack + "temp2_input", 1e3},
	{measures("rack", "temperature1", 99850), "rack", "temperature2", 99.813, rack + "temp2_input", 1e3},
	{measures("cabinet", "temperature0", 23000), "cabinet", "temperature1", 23, cab + "temp1_input", 1e3},
	{measures("cabinet", "temperature1", 31000), "cabinet", "temperature2", 31, cab + "temp2_input", 1e3},
	{measures("compass", "mag-x", 1000), "compass", "magnetic_x", 0, mag + "in_magn_x_raw " + mag + "in_magn_x_scale", 1e4},
	{measures("compass", "mag-z", 123456), "compass", "magnetic_z", 0, mag + "in_magn_z_raw " + mag + "in_magn_z_scale", 1e4},
	{nil, "air", "temperature", 24.738, air + "in_temp_input", 1e3},
	{nil, "air", "pressure", 92947, air + "in_pressure_input", 1e-3},
	{nil, "processor", "temperature", 0, "/sys/class/thermal/thermal_zone0/temp", 1e3},
}

// kernelDrivers: chips that drivers of Linux read, beside our own driver's on the same bus. What QEMU's chips measure is
// set from outside, below zero too; what the kernel says of it comes from its files, and must be what /ws shows.
func (s *story) kernelDrivers(t *testing.T) {
	s.board.run(t, "modprobe -a tmp421 emc1403 st_magn_i2c dps310")
	for _, chip := range kernelChips {
		s.board.run(t, "echo "+chip+" > "+onI2C+"i2c-1/new_device")
	}
	s.board.put(t, kernelFile, []byte(kernelDevices), true)
	s.board.run(t, "fieldgate check && systemctl restart fieldgate")
	for _, v := range kernelValues {
		if v.set != nil {
			v.set(t, s.board)
		}
		kernel := s.product(t, v.files) / v.by
		if v.want != 0 && !near(kernel, v.want) {
			t.Errorf("%s %s: the kernel says %v, want %v", v.device, v.quantity, kernel, v.want)
		}
		what := fmt.Sprintf("%s %s = %v", v.device, v.quantity, kernel)
		took := s.screen.Await(t, what, s.screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool {
			return slices.ContainsFunc(rs, func(r e2e.Reading) bool {
				return r.Device == v.device && r.Quantity == v.quantity && near(r.Value, kernel) && r.Quality == "good"
			})
		})
		t.Logf("pi: %s: so says the kernel's driver, and /ws %.1f s later", what, took.Seconds())
	}
	s.kernelLies(t)
	s.board.run(t, "rm "+kernelFile+"; systemctl restart fieldgate")
	for _, chip := range kernelChips {
		s.board.run(t, "echo "+chip[strings.IndexByte(chip, ' ')+1:]+" > "+onI2C+"i2c-1/delete_device")
	}
	s.screen.Await(t, "a board without them", s.screen.Count(), func(rs []e2e.Reading, st e2e.Status) bool {
		return len(rs) > 0 && len(st.Health) == 0
	})
}

// kernelLies: below zero the kernel's driver of the EMC1413 says 251 Cel. That value is not shown; the other inputs go on,
// and a condition names the file. An unbound chip is absent, and found again.
func (s *story) kernelLies(t *testing.T) {
	s.board.set(t, "/machine/peripheral/cabinet", "temperature1", -5000)
	if v := s.product(t, cab+"temp2_input"); v != 251000 {
		t.Errorf("the kernel says %v of -5 Cel, want its known lie 251000", v)
	}
	s.screen.Await(t, "the condition of the lie", 0, func(_ []e2e.Reading, st e2e.Status) bool {
		return slices.ContainsFunc(st.Health, func(c e2e.Condition) bool {
			return c.Code == "sensor_partial" && c.Subject == "cabinet" && strings.Contains(c.Sentence, "temperature2")
		})
	})
	seen, _, _ := s.screen.Snapshot()
	for _, r := range seen {
		if r.Device == "cabinet" && r.Value > 128 {
			t.Errorf("shown: %+v", r)
		}
	}
	s.board.set(t, "/machine/peripheral/cabinet", "temperature1", 31000)
	s.screen.Await(t, "the end of the lie", 0, func(_ []e2e.Reading, st e2e.Status) bool { return !st.About("cabinet") })

	s.board.run(t, "echo 1-004d > /sys/bus/i2c/drivers/tmp421/unbind")
	s.screen.Await(t, "an unbound chip is told", 0, func(_ []e2e.Reading, st e2e.Status) bool { return st.About("rack") })
	s.board.run(t, "echo 1-004d > /sys/bus/i2c/drivers/tmp421/bind")
	took := s.screen.Await(t, "a chip bound again", 0, func(_ []e2e.Reading, st e2e.Status) bool { return !st.About("rack") })
	t.Logf("pi: TMP421 bound again -> readings %.1f s", took.Seconds())
}

// product multiplies what the files in the guest say.
func (s *story) product(t *testing.T, files string) float64 {
	t.Helper()
	product := 1.0
	for _, text := range strings.Fields(s.board.run(t, "cat "+files)) {
		var v float64
		if _, err := fmt.Sscan(text, &v); err != nil {
			t.Fatalf("%s: %q: %v", files, text, err)
		}
		product *= v
	}
	return product
}

// near tells whether two values differ by no more than their last binary digits.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }
