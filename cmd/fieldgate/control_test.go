package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/drivers/scan"
	"github.com/fieldgate/fieldgate/gateway/control"
	"github.com/fieldgate/fieldgate/gateway/local"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A controlled is a gateway of its own process without a cloud, and its socket.
type controlled struct {
	*testGateway
	socket string
}

// devices of the gateways of these tests: one that answers, one that does not,
// one that is calibrated, a line, the board.
const controlledDevices = `[[device]]
id = "boiler"
driver = "lm75"
model = "tmp105"
bus = "sim-1"
address = 0x48
interval = "50ms"
[[device]]
id = "tank"
driver = "lm75"
model = "tmp105"
bus = "sim-2"
address = 0x49
interval = "50ms"
[[device.channel]]
quantity = "temperature"
offset = 1000
range = [0, 100]
[[device]]
id = "attic"
driver = "lm75"
bus = "i2c-999"
interval = "1s"
[[device]]
id = "roof"
driver = "lm75"
bus = "sim-1/0x70/3"
address = 0x4a
interval = "50ms"
[[device]]
id = "door"
driver = "gpio-in"
chip = "sim"
line = "GPIO17"
interval = "50ms"
`

func newControlled(t *testing.T, socket string) controlled {
	t.Helper()
	dir, err := os.MkdirTemp("", "fieldgate-control-") // short: the socket may be in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if socket == "" {
		socket = filepath.Join(dir, "control.sock")
	}
	text := fmt.Sprintf("version = 1\n[gateway]\nid = \"plant-7\"\n[store]\ndir = %q\nmin_free = \"1MiB\"\n"+
		"[local]\nlisten = \"127.0.0.1:0\"\nview = \"open\"\n%s", filepath.Join(dir, "state"), controlledDevices)
	g := &testGateway{config: write(t, filepath.Join(dir, "fieldgate.toml"), text), log: filepath.Join(dir, "log"), program: program}
	return controlled{g, socket}
}

// begin starts it and waits until status satisfies done.
func (g controlled) begin(t *testing.T, done func(local.Report) bool) local.Report {
	t.Helper()
	g.startAt(t, g.socket)
	return g.await(t, done)
}

func (g controlled) await(t *testing.T, done func(local.Report) bool) (r local.Report) {
	t.Helper()
	var err error
	for range 200 {
		r, err = control.Ask[local.Report](t.Context(), control.Client{Path: g.socket}, askStatus, nil)
		if err == nil && done(r) {
			return r
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the status is not as awaited: %+v, %v", r, err)
	return r
}

// awaitLog waits until the log of the gateway has text in it.
func (g controlled) awaitLog(t *testing.T, text string) {
	t.Helper()
	for range 200 {
		if log, err := os.ReadFile(g.log); err == nil && strings.Contains(string(log), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the log does not say %q", text)
}

// visited holds when every device was visited.
func visited(r local.Report) bool {
	for _, d := range r.Devices {
		if d.State == local.DeviceStarting {
			return false
		}
	}
	return len(r.Devices) == 5 && len(r.Health) > 0
}

func TestStatus(t *testing.T) {
	g := newControlled(t, "")
	g.begin(t, visited)
	code, out, errs := outcome(t, "status", "--control", g.socket)
	for _, want := range []string{
		"plant-7 has been running for ", "WRONG    Bus i2c-999 cannot be used", "(bus_gone, for ",
		"DEVICES  4 of 5 answer", "boiler", " Cel", "simulated", "attic   ABSENT for ", "no value since the start", "level",
		"CLOUD    none is configured", "A power cut costs at most the last 5.0 s.", "CLOCK    ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the status does not say %q", want)
		}
	}
	if code != cli.ExitOK || errs != "" || t.Failed() {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > statusWidth+1 {
			t.Errorf("a line is too long for a terminal: %s", line)
		}
	}
	code, out, errs = outcome(t, "status", "--json", "--control", g.socket)
	var r local.Report
	if err := json.Unmarshal([]byte(out), &r); code != cli.ExitOK || err != nil || r.GatewayID != "plant-7" || len(r.Channels) != 5 {
		t.Errorf("exit %d, %v, %s\n%s", code, err, errs, out)
	}
	g.end(t, syscall.SIGTERM)
	code, _, errs = outcome(t, "status", "--control", g.socket)
	if code != cli.ExitFailed || !strings.Contains(errs, "no gateway runs here") || !strings.Contains(errs, "journalctl -u fieldgate") {
		t.Errorf("of a gateway that has stopped: exit %d\n%s", code, errs)
	}
	if code, _, _ := outcome(t, "status", "--jason"); code != cli.ExitUsage {
		t.Errorf("wrong use: exit %d", code)
	}
}

// A device is read by the gateway, and without one by the command.
func TestRead(t *testing.T) {
	g := newControlled(t, "")
	read := func(device string, code int, wants ...string) {
		t.Helper()
		got, out, errs := outcome(t, "read", device, "--control", g.socket, "--config", g.config)
		for _, want := range wants {
			if !strings.Contains(out+errs, want) {
				t.Errorf("read %s does not say %q", device, want)
			}
		}
		if got != code || t.Failed() {
			t.Errorf("read %s: exit %d\n%s%s", device, got, out, errs)
		}
	}
	all := func(more ...string) {
		t.Helper()
		read("boiler", cli.ExitOK, append(more, "temperature  ", " Cel  simulated\n", "boiler (lm75 on sim-1), read in ", " ms",
			"; not stored")...)
		read("tank", cli.ExitOK, append(more, " Cel  simulated  (the device says ", "temperature  10")...)
		read("door", cli.ExitOK, append(more, "level")...)
		read("attic", cli.ExitFailed, append(more, "attic (lm75 on i2c-999) gives no value: open i2c-999: bus unusable",
			"Check that the bus is switched on")...)
		read("cellar", cli.ExitFailed, append(more, `there is no device "cellar"; there are boiler, tank, attic, roof, door`)...)
	}
	all("No gateway runs here, so the device is read by this command.\n")
	before := g.begin(t, visited)
	all()
	code, out, errs := outcome(t, "read", "tank", "--json", "--control", g.socket)
	var r visitResult
	if err := json.Unmarshal([]byte(out), &r); code != cli.ExitOK || err != nil || r.By != "gateway" || len(r.Readings) != 1 ||
		r.Readings[0].Raw == nil || r.Readings[0].Value != *r.Readings[0].Raw+1000 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	code, out, _ = outcome(t, "read", "attic", "--json", "--control", g.socket)
	if err := json.Unmarshal([]byte(out), &r); code != cli.ExitFailed || err != nil || r.Error == "" || r.Advice == "" {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	if after := g.await(t, visited); len(after.Health) != len(before.Health) {
		t.Errorf("reading raised conditions: %+v", after.Health)
	}
	g.awaitLog(t, "a device is read on request")
	g.end(t, syscall.SIGTERM)
	if code, _, _ := outcome(t, "read"); code != cli.ExitUsage {
		t.Errorf("without a device: exit %d", code)
	}
}

// check --deep says of each device whether it answers, and why not: by the
// gateway, and without one by itself.
func TestCheckDeep(t *testing.T) {
	g := newControlled(t, "")
	check := func(wants ...string) {
		t.Helper()
		code, out, errs := outcome(t, "check", "--deep", "--control", g.socket, g.config)
		for _, want := range append(wants, "is a valid configuration: 5 devices", "Do the devices answer?\n",
			"  boiler  yes:  temperature ", "  attic   NO:   open i2c-999: bus unusable", "Check that the bus is switched on") {
			if !strings.Contains(out+errs, want) {
				t.Errorf("it does not say %q", want)
			}
		}
		if code != cli.ExitFailed || t.Failed() {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
	}
	check("No gateway runs here, so the devices are read by this command.", "1 of 5 devices give no value")
	g.begin(t, visited)
	check("1 of 5 devices give no value")
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	// In the file, but not what the gateway runs with.
	write(t, g.config, strings.Replace(strings.Replace(string(text), `id = "door"`, `id = "gate"`, 1), "address = 0x4a", "address = 0x4b", 1))
	check("  gate    NO:   not read, because the gateway runs without it",
		"  roof    NO:   not read, because the gateway runs with another configuration of it",
		"3 of 5 devices give no value")
	code, out, errs := outcome(t, "check", "--deep", "--json", "--control", g.socket, g.config)
	var found struct{ Devices []visitResult }
	if err := json.Unmarshal([]byte(out), &found); code != cli.ExitFailed || err != nil || len(found.Devices) != 5 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	g.end(t, syscall.SIGTERM)
	good := write(t, filepath.Join(t.TempDir(), "good.toml"), "version = 1\n[[device]]\nid = \"board\"\ndriver = \"hostsys\"\n")
	code, out, errs = outcome(t, "check", "--deep", "--control", g.socket, good)
	if code != cli.ExitOK || !strings.Contains(out, "  board  yes:  ") {
		t.Errorf("all answer: exit %d\n%s%s", code, out, errs)
	}
}

// A scan knows what is configured, with a gateway and without, and what is wrong
// with a bus.
func TestScan(t *testing.T) {
	g := newControlled(t, "")
	wants := []string{"sim-1: 2 chips, ", "  0x70  configured: multiplexer\n", "sim-1/0x70/3: 1 chip, ", "configured: roof (driver lm75)\n",
		"  0x48  configured: boiler (driver lm75)\n", "  0x49  configured: tank (driver lm75)\n",
		"i2c-999: 0 chips, ", "  not scanned to its end: ", "bus unusable", "Nothing was changed."}
	look := func(more ...string) {
		t.Helper()
		code, out, errs := outcome(t, "scan", "--control", g.socket, "--config", g.config)
		for _, want := range append(wants, more...) {
			if !strings.Contains(out+errs, want) {
				t.Errorf("the scan does not say %q", want)
			}
		}
		if code != cli.ExitOK || t.Failed() {
			t.Errorf("exit %d\n%s%s", code, out, errs)
		}
	}
	look("No gateway runs here, so the buses are asked by this command.\n")
	g.begin(t, visited)
	look()
	code, out, errs := outcome(t, "scan", "--json", "--bus", "sim-1", "--control", g.socket)
	var found struct {
		Buses []scan.Bus
		TOML  string
	}
	err := json.Unmarshal([]byte(out), &found)
	if code != cli.ExitOK || err != nil || len(found.Buses) != 1 || len(found.Buses[0].Chips) != 2 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	code, _, errs = outcome(t, "scan", "--bus", "i2c-77", "--control", g.socket)
	if code != cli.ExitFailed || !strings.Contains(errs, "there is no bus i2c-77; there are ") {
		t.Errorf("exit %d, %s", code, errs)
	}
	g.awaitLog(t, "the buses are scanned on request")
	g.end(t, syscall.SIGTERM)
}

// What a scan prints can be pasted.
func TestScanPrintsAGoodConfiguration(t *testing.T) {
	f := scanFound{ids: []string{"bme280-76"}, buses: []scan.Bus{{Name: "i2c-1", Chips: []scan.Chip{
		{Address: 0x49, State: scan.Answers, Guesses: []string{"lm75"}}, {Address: 0x76, State: scan.Answers, Driver: "bme280", Chip: "BME280"},
	}}}, kernel: []scan.Shown{{Driver: "hwmon", Sensor: "i2c-1/1-004d", Name: "tmp421"},
		{Driver: "w1", Sensor: "28-0123456789ab", Name: "28-0123456789ab"}}}
	_, toml, _ := strings.Cut(f.text(), "To paste into /etc/fieldgate/fieldgate.toml:\n\n")
	for _, text := range []string{toml, strings.ReplaceAll(toml, "\n# ", "\n")} { // with the guess taken
		if code, _, errs := outcome(t, "check", write(t, filepath.Join(t.TempDir(), "pasted.toml"), "version = 1\n"+text)); code != cli.ExitOK {
			t.Errorf("exit %d: %s\n%s", code, errs, text)
		}
	}
}

// The socket of a gateway that was killed does not keep the next one away, that
// of one that lives does. Both gateways sample.
func TestControlSocketOfTwoGateways(t *testing.T) {
	first := newControlled(t, "")
	first.begin(t, visited)
	first.end(t, syscall.SIGKILL)
	code, _, errs := outcome(t, "status", "--control", first.socket)
	if code != cli.ExitFailed || !strings.Contains(errs, "no gateway runs here") {
		t.Errorf("of a gateway that was killed: exit %d, %s", code, errs)
	}
	first.begin(t, visited)
	second := newControlled(t, first.socket)
	second.startAt(t, second.socket)
	second.awaitLog(t, "condition=control_down")
	second.awaitLog(t, "gateway is running")
	r := first.await(t, visited)
	if r.GatewayID != "plant-7" || r.Store.Openings != 2 {
		t.Errorf("another gateway answers: %+v", r.Status)
	}
	second.end(t, syscall.SIGTERM)
	first.await(t, visited)
}

// systemd names the folder for the socket in the environment.
func TestControlSocketOfAService(t *testing.T) {
	g := newControlled(t, "")
	dir := filepath.Dir(g.socket)
	t.Setenv("RUNTIME_DIRECTORY", dir+":"+filepath.Join(dir, "other"))
	g.start(t)
	g.await(t, visited)
	g.end(t, syscall.SIGTERM)
}

// Callers that say nothing, half of it, or take nothing, do not hold up a stop.
func TestStopWithOpenControlConnections(t *testing.T) {
	g := newControlled(t, "")
	g.begin(t, visited)
	for _, text := range []string{"", "GET /v1/st", "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := net.Dial("unix", g.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	lateness := e2e.Lateness(t)
	began := time.Now()
	g.end(t, syscall.SIGTERM)
	// A dozen steps of the stop wait for the machine's turn or its disk.
	if d := time.Since(began); d > 3*time.Second+12*lateness() {
		t.Errorf("the stop took %v", d)
	}
}
