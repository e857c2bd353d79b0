package hwmon_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/hwmon"
	"github.com/fieldgate/fieldgate/drivers/sysfs"
)

const (
	i2c1 = "sys/devices/platform/soc/3f804000.i2c/i2c-1/"
	tmp  = i2c1 + "1-004d/hwmon/hwmon1/"
)

// board is a Pi with a TMP421 and two EMC1413 on I2C, the zone of its
// processor, and a power supply that measures much. The figures of the first
// three are those that the kernel gave for chips of the emulated board.
func board(t testing.TB) string {
	files := map[string]string{
		tmp + "name": "tmp421\n", tmp + "temp1_input": "23438\n", tmp + "temp2_input": "-12375\n", tmp + "temp2_fault": "0\n",
		tmp + "device": "-> ../../../1-004d", tmp + "temp1_enable": "1\n", tmp + "update_interval": "63\n", tmp + "uevent": "",
		i2c1 + "1-004d/of_node": "-> ../../../../../../firmware/devicetree/base/soc/i2c@7e804000/temp@4d",
		"sys/firmware/devicetree/base/soc/i2c@7e804000/temp@4d/reg": "M",

		i2c1 + "1-004c/hwmon/hwmon2/name":           "emc1403\n",
		i2c1 + "1-004c/hwmon/hwmon2/temp1_input":    "23000\n",
		i2c1 + "1-004c/hwmon/hwmon2/temp2_input":    "31000\n",
		i2c1 + "1-004c/hwmon/hwmon2/temp3_input":    "70000\n",
		i2c1 + "1-004c/hwmon/hwmon2/temp3_fault":    "0\n",
		i2c1 + "1-001c/hwmon/hwmon10/name":          "emc1403\n",
		i2c1 + "1-001c/hwmon/hwmon10/temp1_input":   "24000\n",
		"sys/class/hwmon/hwmon0":                    "-> ../../devices/virtual/thermal/thermal_zone0/hwmon0",
		"sys/class/hwmon/hwmon1":                    "-> ../../devices/platform/soc/3f804000.i2c/i2c-1/1-004d/hwmon/hwmon1",
		"sys/class/hwmon/hwmon2":                    "-> ../../devices/platform/soc/3f804000.i2c/i2c-1/1-004c/hwmon/hwmon2",
		"sys/class/hwmon/hwmon3":                    "-> ../../devices/platform/power/hwmon/hwmon3",
		"sys/class/hwmon/hwmon10":                   "-> ../../devices/platform/soc/3f804000.i2c/i2c-1/1-001c/hwmon/hwmon10",
		"sys/devices/platform/power/hwmon/hwmon3/x": "",

		"sys/devices/virtual/thermal/thermal_zone0/hwmon0/name":        "cpu_thermal\n",
		"sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input": "48312\n",
	}
	for name, text := range map[string]string{
		"name": "supply", "in0_input": "3312", "in0_label": "+3.3 V", "in1_input": "-12010", "curr1_input": "1250", "power1_input": "4140000",
		"power1_average": "1", "power2_average": "2500000", "energy1_input": "7200000000", "humidity1_input": "45250", "fan1_input": "1200",
		"fan1_label": "CPU fan", "fan2_input": "0", "fan2_label": "CPU fan", "freq1_input": "50", "in1_min": "5", "pwm1": "128",
		"fan3_fault": "0", "intrusion0_alarm": "1",
	} {
		files["sys/devices/platform/power/hwmon/hwmon3/"+name] = text + "\n"
	}
	return drivertest.Tree(t, files)
}

func target(root, sensor, quantities string) drivers.Target {
	return drivers.Target{SysRoot: root, Options: map[string]any{"sensor": sensor, "quantities": quantities}}
}

func open(t testing.TB, root, sensor, quantities string) drivers.Sensor {
	t.Helper()
	s, err := hwmon.Driver().Open(t.Context(), target(root, sensor, quantities))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func values(vs []drivers.Value) map[string]float64 {
	got := map[string]float64{}
	for _, v := range vs {
		got[v.Quantity] = v.Value
	}
	return got
}

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: hwmon.Driver(), Options: map[string]any{"sensor": "tmp421"},
		Target: func() drivers.Target { return drivers.Target{SysRoot: board(t)} },
		Want:   map[string]float64{"temperature1": 23.438, "temperature2": -12.375},
	})
}

func TestChips(t *testing.T) {
	for _, c := range []struct {
		sensor, quantities string
		want               map[string]float64
	}{
		{"tmp421", "", map[string]float64{"temperature1": 23.438, "temperature2": -12.375}},
		{"1-004d", "", map[string]float64{"temperature1": 23.438, "temperature2": -12.375}},
		{"soc/i2c@7e804000/temp@4d", "", map[string]float64{"temperature1": 23.438, "temperature2": -12.375}},
		{"i2c-1/1-004c", "", map[string]float64{"temperature1": 23, "temperature2": 31, "temperature3": 70}},
		{"/sys/devices/platform/soc/3f804000.i2c/i2c-1/1-001c", "", map[string]float64{"temperature1": 24}},
		{"cpu_thermal", "", map[string]float64{"temperature1": 48.312}},
		{"i2c-1/1-004c", "temperature3 temperature1", map[string]float64{"temperature1": 23, "temperature3": 70}},
		{"supply", "", map[string]float64{
			"voltage_3_3_V": 3.312, "voltage1": -12.01, "current1": 1.25, "power1": 4.14, "power2": 2.5, "energy1": 7200, "humidity1": 45.25,
			"fan_CPU_fan_1": 20, "fan_CPU_fan_2": 0, "frequency1": 50,
		}},
	} {
		t.Run(c.sensor, func(t *testing.T) {
			vs, err := open(t, board(t), c.sensor, c.quantities).Read(t.Context())
			if got := values(vs); err != nil || !maps.Equal(got, c.want) {
				t.Errorf("read %v, %v\nwant %v", got, err, c.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	want := []string{"voltage_3_3_V V", "voltage1 V", "current1 A", "power1 W", "power2 W", "energy1 J", "humidity1 %RH",
		"fan_CPU_fan_1 Hz", "fan_CPU_fan_2 Hz", "frequency1 Hz"}
	var got []string
	for _, q := range open(t, board(t), "supply", "").(drivers.Lister).Quantities() {
		got = append(got, q.Name+" "+q.Unit)
	}
	if !slices.Equal(got, want) {
		t.Errorf("quantities %q\nwant %q", got, want)
	}
}

// What cannot be found, or be told apart, is an error that lists what there is.
func TestWhichChip(t *testing.T) {
	for _, c := range []struct {
		sensor, quantities, says string
		absent                   bool
	}{
		{"emc1403", "", "emc1403 (i2c-1/1-004c), emc1403 (i2c-1/1-001c)", false},
		{"lm75", "", "tmp421 (i2c-1/1-004d)", true},
		{"", "", "cpu_thermal, tmp421 (i2c-1/1-004d), emc1403 (i2c-1/1-004c), supply (platform/power), emc1403 (i2c-1/1-001c)", true},
		{"hwmon1", "", "tmp421", true},
		{"04d", "", "tmp421", true},
		{"tmp421", "temperature3", `no quantity "temperature3", only temperature1, temperature2`, false},
	} {
		_, err := hwmon.Driver().Open(t.Context(), target(board(t), c.sensor, c.quantities))
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, drivers.ErrAbsent) != c.absent {
			t.Errorf("sensor %q: %v", c.sensor, err)
		}
	}
	if _, err := hwmon.Driver().Open(t.Context(), target(t.TempDir(), "tmp421", "")); !errors.Is(err, drivers.ErrAbsent) {
		t.Errorf("a board without hwmon: %v", err)
	}
	root := board(t)
	drivertest.Plant(t, root, tmp+"name", "w1_slave_temp\n")
	_, err := hwmon.Driver().Open(t.Context(), target(root, "i2c-1/1-004d", ""))
	if err == nil || !strings.Contains(err.Error(), "driver w1") {
		t.Errorf("a chip that has a driver of its own: %v", err)
	}
}

// Each file of a channel fails in each way: there is no value, the cause is
// named, and the other channel goes on.
func TestEachFileFails(t *testing.T) {
	for _, file := range []string{"temp2_input", "temp2_fault"} {
		for how, says := range map[string]string{
			"gone": "no such file", "empty": "empty", "garbage\n": "not a number", "12 13\n": "not a number", "0x10\n": "not a number",
			"1e3\n": "not a number", "nan\n": "not a number", "-": "not a number", "12.\n": "not a number",
			strings.Repeat("1", 5000): "longer", "a folder": "is a directory",
		} {
			root := board(t)
			s := open(t, root, "tmp421", "")
			path := filepath.Join(root, tmp, file)
			switch how {
			case "gone":
				os.Remove(path)
			case "empty":
				drivertest.Plant(t, root, tmp+file, "")
			case "a folder":
				os.Remove(path)
				os.Mkdir(path, 0o755)
			default:
				drivertest.Plant(t, root, tmp+file, how)
			}
			vs, err := s.Read(t.Context())
			if got := values(vs); err != nil || !maps.Equal(got, map[string]float64{"temperature1": 23.438}) {
				t.Errorf("%s %.10q: read %v, %v", file, how, got, err)
			}
			missing := s.(drivers.Partial).Missing()
			if missing == nil || !strings.Contains(missing.Error(), says) || !strings.Contains(missing.Error(), path) {
				t.Errorf("%s %.10q: missing says %v", file, how, missing)
			}
		}
	}
}

// What the chip itself says against a value is believed.
func TestNoValueWhenTheChipSaysSo(t *testing.T) {
	for _, c := range []struct{ file, text, says string }{
		{"temp2_fault", "1", "open or shorted"},
		{"temp1_enable", "0", "switched off"},
		{"temp2_input", "-274000", "absolute zero"},
	} {
		root := board(t)
		s := open(t, root, "tmp421", "")
		drivertest.Plant(t, root, tmp+c.file, c.text)
		vs, err := s.Read(t.Context())
		missing := s.(drivers.Partial).Missing()
		if err != nil || len(vs) != 1 || missing == nil || !strings.Contains(missing.Error(), c.says) {
			t.Errorf("%s = %s: read %v, %v, missing %v", c.file, c.text, vs, err, missing)
		}
	}
}

// Below zero the kernel's driver of the EMC1403 says 251 Cel for -5.
func TestEMC1403BelowZero(t *testing.T) {
	root := board(t)
	s := open(t, root, "1-001c", "")
	drivertest.Plant(t, root, i2c1+"1-001c/hwmon/hwmon10/temp1_input", "251000\n")
	if vs, err := s.Read(t.Context()); err == nil || len(vs) > 0 || !strings.Contains(err.Error(), "below zero") {
		t.Errorf("read %v, %v", vs, err)
	}
}

// A chip that is unbound is absent. Another one that then gets its number is
// never read in its place; the chip itself is found under its new number.
func TestNumbersChange(t *testing.T) {
	root := board(t)
	s := open(t, root, "tmp421", "")
	chip, class := filepath.Join(root, i2c1, "1-004d/hwmon"), filepath.Join(root, "sys/class/hwmon/hwmon1")
	for _, move := range [][2]string{{chip, chip + "-gone"}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	other := "sys/devices/platform/soc/3f804000.i2c/i2c-1/1-0049/hwmon/hwmon1"
	drivertest.Plant(t, root, other+"/name", "tmp421\n")
	drivertest.Plant(t, root, other+"/temp1_input", "99000\n")
	os.Remove(class)
	drivertest.Plant(t, root, "sys/class/hwmon/hwmon1", "-> ../../../"+other)
	if vs, err := s.Read(t.Context()); !errors.Is(err, drivers.ErrAbsent) || !errors.Is(err, fs.ErrNotExist) || len(vs) > 0 {
		t.Errorf("read %v, %v", vs, err)
	}
	drivertest.Plant(t, root, i2c1+"1-004d/hwmon/hwmon7/name", "tmp421\n")
	drivertest.Plant(t, root, i2c1+"1-004d/hwmon/hwmon7/temp1_input", "17000\n")
	drivertest.Plant(t, root, "sys/class/hwmon/hwmon7", "-> ../../devices/platform/soc/3f804000.i2c/i2c-1/1-004d/hwmon/hwmon7")
	vs, err := open(t, root, "i2c-1/1-004d", "").Read(t.Context())
	if got := values(vs); err != nil || got["temperature1"] != 17 {
		t.Errorf("read %v, %v", got, err)
	}
	// The same place, another chip: a person changed it.
	s = open(t, root, "i2c-1/1-004d", "")
	drivertest.Plant(t, root, i2c1+"1-004d/hwmon/hwmon7/name", "lm75\n")
	if vs, err := s.Read(t.Context()); err == nil || len(vs) > 0 || !strings.Contains(err.Error(), "another device") {
		t.Errorf("read %v, %v", vs, err)
	}
}

// A read that is stuck in the kernel ends with its context. While it is stuck
// nothing more is begun; afterwards the chip is read again.
func TestFrozenDriver(t *testing.T) {
	root := board(t)
	driver := hwmon.Driver()
	s, err := driver.Open(t.Context(), target(root, "tmp421", ""))
	if err != nil {
		t.Fatal(err)
	}
	frozen := filepath.Join(root, tmp, "temp2_input")
	os.Remove(frozen)
	if err := syscall.Mkfifo(frozen, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if vs, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), frozen) || len(vs) > 0 {
		t.Errorf("read %v, %v", vs, err)
	}
	if vs, err := s.Read(t.Context()); !errors.Is(err, sysfs.ErrStuck) || !strings.Contains(err.Error(), frozen) || len(vs) > 0 {
		t.Errorf("a second read gave %v, %v", vs, err)
	}
	if err := s.Halt(); err != nil {
		t.Errorf("halt: %v", err)
	}
	if _, err := driver.Open(t.Context(), target(root, "tmp421", "")); !errors.Is(err, sysfs.ErrStuck) {
		t.Errorf("open again: %v", err)
	}
	if _, err := driver.Open(t.Context(), target(root, "cpu_thermal", "")); err != nil {
		t.Errorf("another chip: %v", err)
	}
	// The kernel answers at last.
	if err := os.WriteFile(frozen, []byte("5000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	drivertest.Plant(t, root, tmp+"temp2_input", "6000\n")
	for {
		s, err = driver.Open(t.Context(), target(root, "tmp421", ""))
		if !errors.Is(err, sysfs.ErrStuck) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if vs, err := s.Read(t.Context()); err != nil || values(vs)["temperature2"] != 6 {
		t.Errorf("read %v, %v", vs, err)
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, board(b), "tmp421", "")
	b.ReportAllocs()
	for b.Loop() {
		if vs, err := s.Read(b.Context()); err != nil || len(vs) != 2 {
			b.Fatal(vs, err)
		}
	}
}
