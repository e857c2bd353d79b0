package scan_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/scan"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// put attaches a simulated chip of a driver.
func put(t *testing.T, bus *sim.Bus, addr uint16, driver string) {
	t.Helper()
	for _, d := range builtin.Drivers() {
		if d.Name == driver {
			bus.Attach(addr, d.Simulate(drivers.Simulation{Clock: sim.SinceStart(), Options: d.Defaults()}))
			return
		}
	}
	t.Fatalf("there is no driver %s", driver)
}

// table gives some rows, so that a new driver is no news to these tests.
func table() (rows []drivers.Driver) {
	for _, d := range builtin.Drivers() {
		if d.Name == "bme280" || d.Name == "bmp280" || d.Name == "lm75" {
			rows = append(rows, d)
		}
	}
	return rows
}

// other is a chip that nobody knows.
type other struct{ asked int }

func (o *other) Tx(w, r []byte) error { o.asked++; return nil }
func (o *other) Reset()               {}

// A channel of a multiplexer is scanned by itself: what answers beside it is not
// taken for behind it.
func TestScanBehindAMultiplexer(t *testing.T) {
	bus := sim.NewBus("sim-1")
	put(t, bus, 0x48, "lm75")
	for _, d := range builtin.Drivers() {
		if d.Name == "bme280" {
			bus.Mux(0x70).Attach(3, 0x76, d.Simulate(drivers.Simulation{Clock: sim.SinceStart(), Options: d.Defaults()}))
		}
	}
	c, _ := drivers.ParseChannel("sim-1/0x70/3")
	behind := c.Behind(bus).(drivers.Prober)
	found := scan.I2C(t.Context(), scan.Options{Bus: c.String(), Table: table(), Beside: map[uint16]bool{0x48: true, 0x70: true},
		Turn: func(_ context.Context, f func(drivers.Prober) error) error { return f(behind) }})
	if got, want := describe(found), "76:answers//bme280/BME280/[]"; got != want || found.Error != "" {
		t.Errorf("got %s (%s)", got, found.Error)
	}
	found = scan.I2C(t.Context(), scan.Options{Bus: "sim-1", Table: table(),
		Turn: func(_ context.Context, f func(drivers.Prober) error) error { return f(bus) }})
	if got, want := describe(found), "48:answers////[lm75] 70:answers////[]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// a counted bus counts how often it is given, and for how long.
type counted struct {
	*sim.Bus
	turns  int
	probes int
	most   int
}

func (c *counted) Probe(addr uint16) error { c.probes++; return c.Bus.Probe(addr) }

func (c *counted) turn(_ context.Context, f func(drivers.Prober) error) error {
	c.turns++
	before := c.probes
	defer func() { c.most = max(c.most, c.probes-before) }()
	return f(c)
}

func describe(b scan.Bus) string {
	var parts []string
	for _, c := range b.Chips {
		parts = append(parts, fmt.Sprintf("%02x:%s/%s/%s/%s/%v", c.Address, c.State, c.Device, c.Driver, c.Chip, c.Guesses))
	}
	return strings.Join(parts, " ")
}

// Chips say who they are, the others are guesses; what is configured or belongs
// to Linux is not touched, and the bus is given back after a few addresses.
func TestScan(t *testing.T) {
	bus := &counted{Bus: sim.NewBus("i2c-1")}
	put(t, bus.Bus, 0x76, "bme280")
	put(t, bus.Bus, 0x77, "bmp280")
	put(t, bus.Bus, 0x49, "lm75")
	untouched, stranger := &other{}, &other{}
	for _, addr := range []uint16{0x48, 0x4d} {
		bus.Attach(addr, untouched)
	}
	bus.Attach(0x50, stranger)
	bus.Attach(0x03, untouched)
	found := scan.I2C(t.Context(), scan.Options{
		Bus: "i2c-1", Table: table(), Turn: bus.turn,
		Held: map[uint16]string{0x4d: "tmp421"}, Devices: map[uint16]scan.Chip{0x48: {Device: "boiler", Driver: "lm75"}},
	})
	want := "48:configured/boiler/lm75//[] 49:answers////[lm75] 4d:held//tmp421//[] 50:answers////[] " +
		"76:answers//bme280/BME280/[] 77:answers//bmp280/BMP280/[]"
	if got := describe(found); got != want || found.Error != "" {
		t.Errorf("got  %s (%s)\nwant %s", got, found.Error, want)
	}
	if bus.turns != 14 || bus.most > 8 || untouched.asked != 0 {
		t.Errorf("%d turns with %d probes at most; chips of others were asked %d times", bus.turns, bus.most, untouched.asked)
	}
	if i := slices.IndexFunc(found.Chips, func(c scan.Chip) bool { return c.Address == 0x50 }); !found.Chips[i].Read || found.Chips[i-1].Read {
		t.Errorf("which were read is not told: %+v", found.Chips)
	}
}

// Every chip that can say who it is is known by it, among all drivers.
func TestEveryIdentity(t *testing.T) {
	seen := 0
	for _, d := range builtin.Drivers() {
		if d.Identity == nil {
			continue
		}
		seen++
		bus := &counted{Bus: sim.NewBus("i2c-1")}
		put(t, bus.Bus, d.Address, d.Name)
		found := scan.I2C(t.Context(), scan.Options{Bus: "i2c-1", Table: builtin.Drivers(), Turn: bus.turn})
		if len(found.Chips) != 1 || found.Chips[0].Driver != d.Name || !slices.Contains(d.Chips, found.Chips[0].Chip) {
			t.Errorf("%s at 0x%02x was taken for %s", d.Name, d.Address, describe(found))
		}
	}
	if seen < 5 {
		t.Errorf("only %d drivers have an identity", seen)
	}
}

// A multiplexer is told from a chip, and keeps its channels as they were.
func TestScanOfAMultiplexer(t *testing.T) {
	for _, before := range []byte{0, 0x04} {
		bus := &counted{Bus: sim.NewBus("i2c-1")}
		mux := bus.Mux(0x76)
		if err := mux.Tx([]byte{before}, nil); err != nil {
			t.Fatal(err)
		}
		found := scan.I2C(t.Context(), scan.Options{Bus: "i2c-1", Table: table(), Turn: bus.turn})
		if got, want := describe(found), "76:answers///multiplexer/[]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		var after [1]byte
		if err := mux.Tx(nil, after[:]); err != nil || after[0] != before {
			t.Errorf("its channels were %02x, and are %02x after the scan", before, after[0])
		}
	}
}

func TestScanOfEightChipsIsQuick(t *testing.T) {
	bus := &counted{Bus: sim.NewBus("i2c-1")}
	for addr := uint16(0x48); addr < 0x50; addr++ {
		put(t, bus.Bus, addr, "lm75")
	}
	for addr := uint16(8); addr <= 0x77; addr++ {
		bus.Inject(addr, sim.Fault{Delay: time.Millisecond}) // what a transfer takes on a slow bus
	}
	found := scan.I2C(t.Context(), scan.Options{Bus: "i2c-1", Table: table(), Turn: bus.turn})
	if len(found.Chips) != 8 || found.Took > 1000 || found.Took < 100 {
		t.Errorf("%d chips in %.0f ms", len(found.Chips), found.Took)
	}
	t.Logf("%d chips in %.0f ms", len(found.Chips), found.Took)
}

func TestScanOfABadBus(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(bus *sim.Bus)
		words  string
		probes int
	}{
		"gone":     {func(b *sim.Bus) { b.SetGone(true) }, "bus unusable", 1},
		"hung":     {func(b *sim.Bus) { all(b, sim.Fault{Err: sim.ErrTimeout}) }, "3 transfers in a row failed", 3},
		"shorted":  {func(b *sim.Bus) { everywhere(b) }, "more than 64 addresses answer", 65},
		"one hung": {func(b *sim.Bus) { b.Inject(0x20, sim.Fault{Err: sim.ErrTimeout}) }, "", 112},
	} {
		t.Run(name, func(t *testing.T) {
			bus := &counted{Bus: sim.NewBus("i2c-1")}
			c.spoil(bus.Bus)
			found := scan.I2C(t.Context(), scan.Options{Bus: "i2c-1", Turn: bus.turn})
			if !strings.Contains(found.Error, c.words) || (found.Error == "") != (c.words == "") || bus.probes != c.probes || len(found.Chips) != 0 {
				t.Errorf("%q after %d probes, %d chips", found.Error, bus.probes, len(found.Chips))
			}
		})
	}
	busy := errors.New("busy")
	found := scan.I2C(t.Context(), scan.Options{Turn: func(context.Context, func(drivers.Prober) error) error { return busy }})
	if found.Error != "busy" || found.Chips == nil {
		t.Errorf("%+v", found)
	}
}

func all(b *sim.Bus, f sim.Fault) {
	for addr := uint16(0); addr < 0x80; addr++ {
		b.Inject(addr, f)
	}
}

func everywhere(b *sim.Bus) {
	for addr := uint16(0); addr < 0x80; addr++ {
		b.Attach(addr, &other{})
	}
}

// system makes a root with files, and links where a text begins with "-> ".
func system(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, link := strings.CutPrefix(text, "-> "); link {
			err = errors.Join(err, os.MkdirAll(filepath.Join(root, to), 0o755), os.Symlink(filepath.Join(root, to), path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestWhatLinuxHas(t *testing.T) {
	const soc = "sys/devices/platform/soc/3f804000.i2c/i2c-1"
	root := system(t, map[string]string{
		"sys/bus/i2c/devices/i2c-1":                   "-> " + soc,
		soc + "/name":                                 "bcm2835 (i2c@7e804000)\n",
		"sys/bus/i2c/devices/i2c-10/name":             "i2c-1-mux (chan_id 0)\n",
		"sys/bus/i2c/devices/i2c-2/name":              "bcm2835 (i2c@7e805000)\n",
		"sys/bus/i2c/devices/1-004d":                  "-> " + soc + "/1-004d",
		soc + "/1-004d/driver":                        "-> sys/bus/i2c/drivers/tmp421",
		"sys/bus/i2c/devices/1-0050/name":             "24c32\n", // no driver
		"sys/bus/i2c/devices/10-0048/driver":          "-> sys/bus/i2c/drivers/lm75",
		"sys/class/hwmon/hwmon0":                      "-> " + soc + "/1-004d/hwmon/hwmon0",
		soc + "/1-004d/hwmon/hwmon0/name":             "tmp421\n",
		soc + "/1-004d/hwmon/hwmon0/device":           "-> " + soc + "/1-004d",
		"sys/class/hwmon/hwmon1":                      "-> " + soc + "/1-004e/hwmon/hwmon1",
		soc + "/1-004e/hwmon/hwmon1/name":             "tmp421\n",
		soc + "/1-004e/hwmon/hwmon1/device":           "-> " + soc + "/1-004e",
		"sys/bus/iio/devices/iio:device0":             "-> " + soc + "/1-0077/iio:device0",
		soc + "/1-0077/iio:device0/name":              "dps310\n",
		"sys/bus/w1/devices/28-0123456789ab/w1_slave": "",
		"sys/bus/w1/devices/01-0123456789ab/name":     "", // a key, no thermometer
	})
	names, adapters := scan.Buses(root)
	if got := strings.Join(names, " "); got != "i2c-1 i2c-2 i2c-10" || adapters["i2c-1"] != "bcm2835 (i2c@7e804000)" {
		t.Errorf("buses %s, %v", got, adapters)
	}
	if held := scan.HeldOn(root, "i2c-1"); len(held) != 1 || held[0x4d] != "tmp421" {
		t.Errorf("held on i2c-1: %v", held)
	}
	if held := scan.HeldOn(root, "sim-1"); len(held) != 0 {
		t.Errorf("held on sim-1: %v", held)
	}
	got := fmt.Sprint(scan.Kernel(root))
	want := "[{hwmon i2c-1/1-004d tmp421 i2c-1/1-004d} {hwmon i2c-1/1-004e tmp421 i2c-1/1-004e} " +
		"{iio dps310 dps310 i2c-1/1-0077} {w1 28-0123456789ab 28-0123456789ab }]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if names, _ := scan.Buses(t.TempDir()); len(names) != 0 || len(scan.Kernel(t.TempDir())) != 0 {
		t.Errorf("of a board without any: %v", names)
	}
}

func TestTOML(t *testing.T) {
	got := scan.TOML([]scan.Bus{{Name: "i2c-1", Chips: []scan.Chip{
		{Address: 0x48, State: scan.Configured, Device: "boiler", Driver: "lm75"},
		{Address: 0x49, State: scan.Answers, Guesses: []string{"lm75", "tmp117"}},
		{Address: 0x4d, State: scan.Held, Driver: "tmp421"},
		{Address: 0x50, State: scan.Answers},
		{Address: 0x76, State: scan.Answers, Driver: "bme280", Chip: "BME280"},
	}}, {Name: "i2c-2", Chips: []scan.Chip{{Address: 0x76, State: scan.Answers, Driver: "bme280", Chip: "BME280"}}}},
		[]scan.Shown{{Driver: "hwmon", Sensor: "i2c-1/1-004d", Name: "tmp421/x"}}, []string{"bme280-76"})
	want := `# 0x49 on i2c-1 cannot say what it is. If it is for driver lm75 or tmp117, take the # away:

# [[device]]
# id = "lm75-49"
# driver = "lm75"
# bus = "i2c-1"
# address = 0x49

[[device]]
id = "bme280-76-2"
driver = "bme280"
bus = "i2c-1"
address = 0x76

[[device]]
id = "bme280-76-3"
driver = "bme280"
bus = "i2c-2"
address = 0x76

[[device]]
id = "tmp421_x"
driver = "hwmon"
sensor = "i2c-1/1-004d"
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
