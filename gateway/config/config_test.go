package config_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// table is a table of drivers with one of each kind.
var table = []drivers.Driver{
	{Name: "lm75", Bus: drivers.BusI2C, Addresses: []uint16{0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f}, Address: 0x48,
		Interval: time.Second, Timeout: 500 * time.Millisecond, Quantities: []drivers.Quantity{{Name: "temperature"}},
		Options: []drivers.Option{
			{Name: "variant", Default: "lm75", OneOf: []any{"lm75", "tmp102"}},
			{Name: "samples", Default: int64(1), OneOf: []any{int64(1), int64(4)}},
			{Name: "extended", Default: false},
		}},
	{Name: "anywhere", Bus: drivers.BusI2C, Interval: time.Second, Timeout: time.Second,
		Quantities: []drivers.Quantity{{Name: "a"}, {Name: "b"}}},
	{Name: "adc", Bus: drivers.BusSPI, Interval: time.Second, Timeout: time.Second, Quantities: []drivers.Quantity{{Name: "voltage"}},
		Options: []drivers.Option{
			{Name: "reference", Default: 0.0, Required: `the voltage at VREF, such as "3.3"`, Example: 3.3},
		}},
	{Name: "gpio-in", Bus: drivers.BusGPIO, Interval: time.Second, Timeout: time.Second, Quantities: []drivers.Quantity{{Name: "level"}}},
	{Name: "hostsys", Interval: 10 * time.Second, Timeout: time.Second, MostQuantities: 64},
}

// onBus gives the lines of a device.
func onBus(id, bus, driver string, address int) string {
	return fmt.Sprintf("[[device]]\nid = %q\ndriver = %q\nbus = %q\naddress = %#x\n", id, driver, bus, address)
}

// load writes files (name, text, name, text …) into a folder and loads the
// first.
func load(t *testing.T, files ...string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, files[0]), table)
	var ps config.Problems
	if errors.As(err, &ps) {
		for i := range ps {
			ps[i].File = strings.TrimPrefix(ps[i].File, dir+"/")
			ps[i].Message = strings.ReplaceAll(ps[i].Message, dir+"/", "")
		}
	}
	return cfg, err
}

// lines gives the problems as "line:col: path: message".
func lines(err error) []string {
	var ps config.Problems
	errors.As(err, &ps)
	var list []string
	for _, p := range ps {
		p.Excerpt = ""
		list = append(list, strings.TrimPrefix(p.String(), "f.toml:"))
	}
	return list
}

func TestTenMistakesGiveTenMessages(t *testing.T) {
	text, err := os.ReadFile("testdata/ten.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = load(t, "fieldgate.toml", string(text))
	var ps config.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got %v, want problems", err)
	}
	if len(ps) != 10 {
		t.Errorf("%d problems, want 10", len(ps))
	}
	golden := "testdata/ten.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, rerr := os.ReadFile(golden)
	if rerr != nil {
		t.Fatal(rerr)
	}
	if got := err.Error() + "\n"; got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTheExampleOfTheManualLoads(t *testing.T) {
	cfg, err := load(t, "f.toml", `version = 1
[gateway]
id = "plant-7"
[uplink]
url = "wss://cloud.example.com/v1/gateway"
token_file = "/etc/fieldgate/token"
[store]
flush_interval = "5s"
history = "30d"
max_size = "1GiB"
[local]
listen = ":8080"
view = "open"
hosts = ["plant-7.local"]
[[device]]
id = "boiler"
driver = "lm75"
bus = "i2c-1"
address = 0x49
interval = "2s"
variant = "tmp102"
  [[device.channel]]
  quantity = "temperature"
  offset = -0.3
  scale = 2
  deadband = 0.05
  max_silence = "30s"
  range = [-40, 125]
[[device]]
id = "door"
driver = "gpio-in"
line = "GPIO17"
chip = "pinctrl-bcm2835"
active_low = true
[[device]]
id = "board"
driver = "hostsys"
`)
	if err != nil {
		t.Fatal(err)
	}
	b, door, board := cfg.Devices[0], cfg.Devices[1], cfg.Devices[2]
	for name, pair := range map[string][2]any{
		"id":          {cfg.Gateway.ID, "plant-7"},
		"history":     {cfg.Store.History, 30 * 24 * time.Hour},
		"max_size":    {cfg.Store.MaxSize, config.Size(1 << 30)},
		"hosts":       {fmt.Sprint(cfg.Local.Hosts), "[plant-7.local]"},
		"view":        {cfg.Local.View, "open"},
		"address":     {b.Address, int64(0x49)},
		"interval":    {b.Interval, 2 * time.Second},
		"timeout":     {b.Timeout, 500 * time.Millisecond},
		"variant":     {b.Options["variant"], "tmp102"},
		"samples":     {b.Options["samples"], int64(1)},
		"extended":    {b.Options["extended"], false},
		"offset":      {b.Channels[0].Offset, -0.3},
		"scale":       {b.Channels[0].Scale, 2.0},
		"deadband":    {b.Channels[0].Deadband, 0.05},
		"max_silence": {b.Channels[0].MaxSilence, 30 * time.Second},
		"range":       {*b.Channels[0].Range, config.Range{-40, 125}},
		"line":        {door.Line + door.Chip, "GPIO17pinctrl-bcm2835"},
		"active_low":  {door.ActiveLow, true},
		"hostsys":     {board.Interval, 10 * time.Second},
		"rate":        {cfg.Rate(table), 2 * (0.5 + 1 + 6.4)},
		"channels":    {cfg.Channels(table), 66},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
}

// Each text after "version = 1\n" gives exactly these problems.
func TestProblems(t *testing.T) {
	const lm75 = "[[device]]\nid = \"a\"\ndriver = \"lm75\"\nbus = \"sim-1\"\n" // lines 2-5
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown key in the root": {"divice = 1", []string{`2:1: divice: no such key; did you mean "device"?`}},
		"keys keep their case":    {"[Gateway]\nid = \"a\"", []string{`2:2: Gateway: no such key; did you mean "gateway"?`}},
		"not in this version": {lm75 + "safe = \"off\"\n[[device.channel]]\nquantity = \"temperature\"\nalarm = []",
			[]string{"6:1: device[a].safe: no such key", "9:1: device[a].channel[temperature].alarm: no such key"}},
		"table as a value": {"store = 3", []string{"2:9: store: this must be a table, [store], not a whole number"}},
		"wrong types": {"[store]\ndir = true\nhistory = 30\n[local]\nhosts = \"a\"\n[gateway]\nid = 2020-01-01", []string{
			`3:7: store.dir: this must be a string, not true or false`,
			`4:11: store.history: this must be a duration in quotes, such as "10s", not a whole number`,
			`6:9: local.hosts: this must be a list of strings, such as ["a", "b"], not a string`,
			`8:6: gateway.id: this must be a string, not a date`}},
		"bad size": {"[store]\nmax_size = \"1GB\"\nmin_free = \"9999999TiB\"", []string{
			`3:12: store.max_size: "1GB" is not a size: write a whole number with B, KiB, MiB, GiB or TiB, such as "256MiB"`,
			`4:12: store.min_free: "9999999TiB" is not a size: write a whole number with B, KiB, MiB, GiB or TiB, such as "256MiB"`}},
		"bounds": {"[store]\nmax_size = \"1MiB\"\nflush_interval = \"-1s\"", []string{
			`3:12: store.max_size: 1MiB is out of bounds: this must be at least 16MiB`,
			`4:18: store.flush_interval: -1s is out of bounds: this must be at least 0s`}},
		"interval": {lm75 + "interval = \"25h\"", []string{`6:12: device[a].interval: 25h is out of bounds: this must be at most 1d`}},
		"columns count characters": {"gateway = { x = \"ä\", id = \"ä\" }", []string{
			`2:13: gateway.x: no such key`, `2:27: gateway.id: "ä" cannot be a name: use 1 to 64 of A-Z a-z 0-9 _ -`}},
		"missing keys": {"[[device]]\n", []string{
			"2:3: device[1].id: this key is missing: a name that no other device has",
			`2:3: device[1].driver: this key is missing: the name of a driver, such as "lm75"`}},
		"missing place": {"[[device]]\nid=\"a\"\ndriver=\"lm75\"\n[[device]]\nid=\"b\"\ndriver=\"gpio-in\"\n" +
			"[[device]]\nid=\"c\"\ndriver=\"anywhere\"\nbus=\"sim-1\"", []string{
			`2:3: device[a].bus: this key is missing: which bus it is on, such as "i2c-1"`,
			`5:3: device[b].line: this key is missing: the name of its GPIO line, such as "GPIO17"`,
			`8:3: device[c].address: this key is missing: the driver has no usual one`}},
		"keys of another bus": {"[[device]]\nid=\"b\"\ndriver=\"hostsys\"\nline=\"x\"", []string{
			"5:1: device[b].line: this key is not for the driver hostsys: it reads the board itself and needs no place"}},
		"one device in single brackets": {"[device]\nid = \"a\"", []string{
			"2:2: device: each device is a list element of its own: write [[device]], with two brackets"}},
		"same name": {lm75 + "[[device]]\nid = \"a\"\ndriver = \"hostsys\"", []string{
			`7:6: device[a].id: the device at f.toml:3 has this name already`}},
		"same address": {lm75 + "[[device]]\nid = \"b\"\ndriver = \"lm75\"\nbus = \"sim-1\"\naddress = 0x48", []string{
			`10:11: device[b]: device "b" and device "a" (f.toml:5) are both at address 0x48 on sim-1`}},
		"same line": {"[[device]]\nid=\"a\"\ndriver=\"gpio-in\"\nline=\"L\"\n[[device]]\nid=\"b\"\ndriver=\"gpio-in\"\nline=\"L\"", []string{
			`9:6: device[b]: device "b" and device "a" (f.toml:5) are both at line L`}},
		"one supply for two": {"[[device]]\nid=\"a\"\ndriver=\"hostsys\"\npower={line=\"P\"}\n" +
			"[[device]]\nid=\"b\"\ndriver=\"hostsys\"\npower={line=\"P\"}\n", []string{
			`9:13: device[b].power.line: device "b" and device "a" (f.toml:5) both use line P`}},
		"a supply that is read": {"[[device]]\nid=\"a\"\ndriver=\"gpio-in\"\nline=\"P\"\npower={line=\"P\"}\n", []string{
			`6:13: device[a].power.line: device "a" and device "a" (f.toml:5) both use line P`}},
		"supply": {"[[device]]\nid=\"a\"\ndriver=\"hostsys\"\npower={line=\"\", off=\"1ms\", after=0, at_most=\"10m\"}\n" +
			"[[device]]\nid=\"b\"\ndriver=\"hostsys\"\ninterval=\"9ms\"\npower={at_most=\"0/1h\"}\n", []string{
			`5:13: device[a].power.line: this must be the name of a GPIO line, such as "GPIO5"`,
			`5:21: device[a].power.off: 1ms is out of bounds: this must be at least 100ms`,
			`5:34: device[a].power.after: 0 is out of bounds: this must be at least 1`,
			`5:45: device[a].power.at_most: "10m" is not how often something may happen: write N/TIME, such as "1/10m" for once in ten minutes`,
			`9:10: device[b].interval: 9ms is out of bounds: this must be at least 10ms`,
			`10:7: device[b].power.line: this key is missing: the name of the GPIO line that switches the supply`,
			`10:16: device[b].power.at_most: "0/1h" is not how often something may happen: write N/TIME, such as "1/10m" for once in ten minutes`,
		}},
		"address of another chip": {lm75 + "address = 0x76", []string{
			"6:11: device[a].address: 0x76 is no address of lm75, which can have 0x48-0x4f"}},
		"reserved address": {"[[device]]\nid=\"c\"\ndriver=\"anywhere\"\nbus=\"sim-1\"\naddress=3", []string{
			"6:9: device[c].address: 3 is no address of anywhere, which can have 0x08-0x77"}},
		"bus": {"[[device]]\nid=\"a\"\ndriver=\"lm75\"\nbus=\"i2c1\"", []string{
			`5:5: device[a].bus: there is no bus "i2c1": write i2c-N for /dev/i2c-N, i2c-N/0x70/C behind a multiplexer, spi-N.C for /dev/spidevN.C, ` +
				`or sim-N or sim-spi-N.C for a simulated one`}},
		"SPI port": {"[[device]]\nid=\"a\"\ndriver=\"adc\"\nbus=\"i2c-1\"\naddress=0x48\n[[device]]\nid=\"b\"\ndriver=\"lm75\"\nbus=\"spi-0.0\"" +
			"\n[[device]]\nid=\"c\"\ndriver=\"adc\"\nreference=true\n", []string{
			`2:3: device[a].reference: this key is missing: the voltage at VREF, such as "3.3"`,
			`5:5: device[a].bus: i2c-1 is no bus for the driver adc, which wants spi-N.C`,
			`6:1: device[a].address: this key is not for the driver adc: it is on SPI, which has bus`,
			`10:5: device[b].bus: spi-0.0 is no bus for the driver lm75, which wants i2c-N`,
			`11:3: device[c].bus: this key is missing: which SPI port it is on, such as "spi-0.0"`,
			`14:11: device[c].reference: this must be a number, not true or false`}},
		"same SPI port": {"[[device]]\nid=\"a\"\ndriver=\"adc\"\nbus=\"spi-0.1\"\nreference=3.3\n" +
			"[[device]]\nid=\"b\"\ndriver=\"adc\"\nbus=\"spi-0.1\"\nreference=2", []string{
			`10:5: device[b]: device "b" and device "a" (f.toml:5) are both at spi-0.1`}},
		"behind a multiplexer": {lm75 + onBus("b", "sim-1/0x70/3", "lm75", 0x48) + onBus("c", "sim-1/0x70/4", "lm75", 0x49) +
			onBus("d", "sim-1/0x70/3", "lm75", 0x49) + onBus("e", "sim-1", "lm75", 0x49) + onBus("f", "sim-1", "anywhere", 0x70) +
			onBus("g", "sim-1/0x78/3", "lm75", 0x4a) + onBus("h", "sim-1/0x70/4", "lm75", 0x49), []string{
			`10:11: device[b]: address 0x48 on sim-1 is that of device "a" too, which is on the bus before the multiplexer: both would answer`,
			`25:11: device[e]: address 0x49 on sim-1 is that of device "d" too, which is behind a multiplexer of this bus: both would answer`,
			`30:11: device[f]: address 0x70 on sim-1 is that of the multiplexer before device "d"`,
			`34:7: device[g].bus: there is no bus "sim-1/0x78/3": write i2c-N for /dev/i2c-N, i2c-N/0x70/C behind a multiplexer, ` +
				`spi-N.C for /dev/spidevN.C, or sim-N or sim-spi-N.C for a simulated one`,
			`40:11: device[h]: address 0x49 on sim-1 is that of device "e" too, which is on the bus before the multiplexer: both would answer`,
			`40:11: device[h]: address 0x70 on sim-1 is device "f", so no multiplexer can be there`,
			`40:11: device[h]: device "h" and device "c" (f.toml:15) are both at address 0x49 on sim-1/0x70/4`}},
		"driver options": {lm75 + "variant = \"tmp103\"\nsamples = \"4\"\nextended = true\nsample = 4", []string{
			`6:11: device[a].variant: tmp103 is not one of lm75, tmp102`,
			`7:11: device[a].samples: this must be a whole number, not a string`,
			`9:1: device[a].sample: no such key; did you mean "samples"?`}},
		"options of an unknown driver": {"[[device]]\nid=\"a\"\ndriver=\"x\"\nvariant=1\nzzzzzz=1", []string{
			`4:8: device[a].driver: there is no driver "x"; there are adc, anywhere, gpio-in, hostsys, lm75`,
			`6:1: device[a].zzzzzz: no such key`}},
		"channels": {lm75 + "[[device.channel]]\nquantity=\"temperature\"\nscale=0\nrange=[3,1]\n" +
			"[[device.channel]]\nquantity=\"temperature\"\nrange=[1]\ndeadband=-1.0\noffset=inf\n[[device.channel]]\n", []string{
			"8:7: device[a].channel[temperature].scale: a scale of 0 makes every value 0",
			"9:7: device[a].channel[temperature].range: the lowest value must be below the highest",
			"11:10: device[a].channel[temperature].quantity: this device has a channel for temperature already, at f.toml:7",
			"12:7: device[a].channel[temperature].range: this must be a list of two numbers, [lowest, highest]",
			"13:10: device[a].channel[temperature].deadband: -1.0 is out of bounds: this must be at least 0",
			"14:8: device[a].channel[temperature].offset: inf is not a number that can be calculated with",
			"15:10: device[a].channel[3].quantity: this key is missing: which quantity of the device it is about"}},
		"uplink": {"[uplink]\nurl = \"https://x/\"\ntoken_file = \"token\"", []string{
			"3:7: uplink.url: this must begin with wss://",
			`4:14: uplink.token_file: "token" must be an absolute path, beginning with /`}},
		"uplink's others": {"[uplink]\nurls = [\"wss://a/\", \"ws://b/\"]\nproxy = \"proxy.example.com:3128\"\nproxy_file = \"/p\"", []string{
			"3:1: uplink.urls: these are further addresses: set the first one as url",
			"3:21: uplink.urls: ws:// is refused, because readings and the token would cross the network unencrypted: use wss://",
			"4:9: uplink.proxy: this is not the address of a proxy, such as http://HOST:3128, https://HOST:3129 or socks5://HOST:1080",
			"5:1: uplink.proxy_file: proxy is set at f.toml:4: set one of the two"}},
		"listen": {"[local]\nlisten = \"8080\"\nhosts = [\"a\", \"https://b\"]", []string{
			`3:10: local.listen: "8080" is not an address to listen on: write [HOST]:PORT, such as ":8080" or "127.0.0.1:8080"`,
			`4:15: local.hosts: "https://b" is not a host name: write it without https://, port and path`}},
		"set twice":   {"[gateway]\nid = \"a\"\nid = \"b\"", []string{"4:1: gateway.id: this is already set at f.toml:3"}},
		"table twice": {"[gateway]\n[gateway]\nid = \"b\"", []string{"3:2: gateway: this is already set at f.toml:2"}},
		"huge number": {lm75 + "address = 99999999999999999999", []string{"6:11: device[a].address: 99999999999999999999 is too large a number"}},
		"value in a way": {"gateway = 3\n[gateway.x]", []string{"2:11: gateway: this must be a table, [gateway], not a whole number",
			"3:2: gateway: this is a table here, but a value at f.toml:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, "f.toml", "version = 1\n"+c.text)
			got := lines(err)
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if cfg != nil {
				t.Error("a bad configuration was given as well")
			}
		})
	}
}

func TestDerivedID(t *testing.T) {
	root := t.TempDir()
	if _, err := config.DerivedID(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a machine id: %v", err)
	}
	const id = "0123456789abcdef0123456789abcdef"
	for text, good := range map[string]bool{id + "\n": true, "": false, "uninitialized\n": false} {
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := config.DerivedID(root)
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if good && (len(got) != 15 || strings.Contains(id, got[3:])) {
			t.Errorf("%q is too close to the machine's own id", got)
		}
	}
}
