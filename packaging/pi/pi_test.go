//go:build pi

package pi

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

const gatewayID = "pi-1"

var cuts = flag.Int("cuts", 5, "how often the power is cut, in phase after phase")

// A story is one board's life; its steps build on each other.
type story struct {
	root   string // of the repository
	board  *board
	screen *e2e.Screen
	cloud  *e2e.Cloud
	token  string // of the gateway, in the cloud's eyes
}

func TestPi(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	e2e.Patience = bootLimit
	s := &story{root: root, board: newBoard(t)}
	t.Logf("pi: boot to ssh %.0f s", s.board.boot().Seconds())
	s.screen = e2e.Watch(t, fmt.Sprintf("127.0.0.1:%d", s.board.webPort))
	// The guest reaches this host's loopback as 10.0.2.2.
	s.cloud = &e2e.Cloud{Program: filepath.Join(root, "bin", "fieldgate-cloud"), State: t.TempDir(),
		Addr: e2e.FreeAddr(t), Gateway: gatewayID, Name: "10.0.2.2"}
	s.token = s.cloud.Enrol(t)
	s.cloud.Start(t)
	var steps []string
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", s.install},
		{"sampling without a credential", s.sampling},
		{"bad configuration", s.badConfiguration},
		{"uplink", s.uplink},
		{"cloud away for a minute", s.outage},
		{"bus taken away", s.bus},
		{"level from outside", s.level},
		{"drivers of the kernel", s.kernelDrivers},
		{"power cuts", s.powerCuts},
		{"store in RAM", s.storeInRAM},
		{"its own cloud", s.ownCloud},
	} {
		if !t.Run(step.name, step.run) {
			s.tell(t)
			t.FailNow() // the rest would only repeat it
		}
		steps = append(steps, step.name)
	}
	// A proof in the documents must be one that a step gives.
	for _, j := range Judged {
		if !slices.Contains(steps, j.Step) {
			t.Errorf("%s of %s is told as proved by the step %q, which there is not", j.Chip, j.Driver, j.Step)
		}
	}
}

// tell prints what a person would look at.
func (s *story) tell(t *testing.T) {
	if s.board.qemu == nil {
		return
	}
	journal, err := s.board.ssh(t.Context(), nil,
		"systemctl status --no-pager fieldgate; journalctl -u fieldgate -u fieldgate-cloud -n 60 --no-pager")
	t.Logf("journal (%v):\n%s\nconsole:\n%s", err, journal, s.board.console())
}

// install: one apt command, and the daemon runs with the configuration that the package ships.
func (s *story) install(t *testing.T) {
	debs, _ := filepath.Glob(filepath.Join(s.root, "dist", "fieldgate_*_arm64.deb"))
	if len(debs) != 1 {
		t.Fatalf("want one arm64 package in dist/, got %v: run make deb", debs)
	}
	deb, err := os.ReadFile(debs[0])
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.board.put(t, "/root/"+filepath.Base(debs[0]), deb, true)
	t.Logf("pi: copy of %.1f MB %.0f s", float64(len(deb))/1e6, time.Since(start).Seconds())

	start = time.Now()
	for i, command := range s.installCommands(t) {
		s.board.run(t, "cd /root; export DEBIAN_FRONTEND=noninteractive; "+command)
		if i == 0 {
			t.Logf("pi: apt install %.0f s", time.Since(start).Seconds())
		}
	}

	got := s.board.run(t, "cat /proc/1/comm; systemctl is-active fieldgate; systemctl is-enabled fieldgate; "+
		"ps -o user= -p $(systemctl show -p MainPID --value fieldgate)")
	if want := "systemd\nactive\nenabled\nfieldgate"; got != want {
		t.Errorf("PID 1, unit state, enablement, user:\n%s\nwant\n%s", got, want)
	}
	s.shippedToken(t)
}

// installCommands are those of the README, as root types them. The editor is left out: the shipped configuration works
// as it is, and the next steps put others in its place.
func (s *story) installCommands(t *testing.T) []string {
	t.Helper()
	var commands []string
	for line := range strings.Lines(e2e.Blocks(t, filepath.Join(s.root, "README.md"), "sh")[1]) {
		command := strings.TrimPrefix(strings.TrimSpace(line), "sudo ")
		if strings.HasPrefix(command, "sudoedit ") {
			continue
		}
		commands = append(commands, strings.Replace(command, "apt install", "apt install -qy", 1))
	}
	if len(commands) < 2 || len(commands) > 5 {
		t.Fatalf("the README installs with %q", commands)
	}
	return commands
}

// shippedToken: nobody may look without the token that the installation made.
func (s *story) shippedToken(t *testing.T) {
	t.Helper()
	token := s.board.run(t, "cat /etc/fieldgate/local.token")
	if n := s.board.run(t, "wc -l < /etc/fieldgate/local.token"); n != "1" {
		t.Errorf("the token's file has %s lines, want 1: cat shows the prompt behind it", n)
	}
	if mode := s.board.run(t, "stat -c '%U %a' /etc/fieldgate/local.token"); mode != "fieldgate 600" {
		t.Errorf("owner and mode of the token: %s, want fieldgate 600", mode)
	}
	for given, want := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, token: http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			fmt.Sprintf("http://127.0.0.1:%d/api/v1/status", s.board.webPort), nil)
		if err != nil {
			t.Fatal(err)
		}
		if given != "" {
			req.Header.Set("Authorization", "Bearer "+given)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("status with a token of length %d: %d, want %d", len(given), res.StatusCode, want)
		}
	}
}

const devices = `version = 1
[gateway]
id = "` + gatewayID + `"
[store]
flush_interval = "5s"
[local]
view = "open"
[[device]]
id = "tank"
driver = "lm75"
bus = "i2c-1"
address = 0x48
interval = "1s"
[[device]]
id = "board"
driver = "hostsys"
interval = "5s"
[[device]]
id = "door"
driver = "gpio-in"
line = "GPIO17"
interval = "1s"
`

// sampling: readings come from the chip while nobody has given the gateway a credential.
func (s *story) sampling(t *testing.T) {
	s.board.temperature(t, 21.5)
	s.board.put(t, "/etc/fieldgate/fieldgate.toml", []byte(devices), true)
	start := time.Now()
	s.board.run(t, "systemctl restart fieldgate")
	t.Logf("pi: restart to READY %.1f s", time.Since(start).Seconds())
	s.screen.AwaitValue(t, "tank", 21.5)
	_, st, _ := s.screen.Snapshot()
	if st.Uplink.State != "off" || len(st.Health) > 0 {
		t.Errorf("without an uplink configured the status says %+v", st)
	}
}

// badConfiguration: the unit fails with the messages and does not restart in a loop; the mended file is taken.
func (s *story) badConfiguration(t *testing.T) {
	s.board.put(t, "/etc/fieldgate/conf.d/bad.toml", []byte("[[device]]\nid = \"x\"\ndriver = \"lm57\"\n"), true)
	got := s.board.run(t, "systemctl restart fieldgate || true; sleep 5; "+
		"systemctl show -p ActiveState,Result,NRestarts,ExecMainStatus --value fieldgate | tr '\\n' ' '")
	if want := "0 78 exit-code failed"; sorted(got) != want {
		t.Errorf("state, result, restarts, exit status: %s, want %s", sorted(got), want)
	}
	if lines := s.board.run(t, "journalctl -u fieldgate -n 20 -o cat --no-pager"); !strings.Contains(lines, "bad.toml:3:") {
		t.Errorf("the journal does not say where the mistake is:\n%s", lines)
	}
	s.board.run(t, "rm /etc/fieldgate/conf.d/bad.toml; systemctl restart fieldgate")
}

func sorted(words string) string {
	fields := strings.Fields(words)
	slices.Sort(fields)
	return strings.Join(fields, " ")
}

// uplink: a temperature, below zero too, arrives on /ws and in the cloud's log.
func (s *story) uplink(t *testing.T) {
	ca, err := os.ReadFile(filepath.Join(s.cloud.State, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.board.put(t, "/etc/fieldgate/cloud-ca.pem", ca, true)
	s.board.put(t, "/etc/fieldgate/uplink.token", []byte(s.token+"\n"), false)
	s.board.put(t, "/etc/fieldgate/conf.d/uplink.toml", fmt.Appendf(nil, "[uplink]\nurl = %q\nca = %q\ntoken_file = %q\n",
		s.cloud.URL(), "/etc/fieldgate/cloud-ca.pem", "/etc/fieldgate/uplink.token"), true)
	s.board.run(t, "systemctl restart fieldgate")
	s.screen.Await(t, "uplink online", 0, func(_ []e2e.Reading, st e2e.Status) bool { return st.Uplink.State == "online" })

	for _, celsius := range []float64{-5.5, 85} {
		s.board.temperature(t, celsius)
		shown := s.screen.AwaitValue(t, "tank", celsius)
		_, stored := s.cloud.Await(t, fmt.Sprintf("tank at %v", celsius), func(h e2e.Log) bool {
			for _, held := range h.Readings {
				if held[0].Device == "tank" && held[0].Value == celsius {
					return true
				}
			}
			return false
		})
		t.Logf("pi: %5.1f Cel on the chip -> /ws %.1f s, -> read from the cloud's log %.1f s later", celsius, shown.Seconds(), stored.Seconds())
	}
}

// outage: every reading of the minute in which the cloud was away arrives exactly once.
func (s *story) outage(t *testing.T) {
	s.cloud.Stop(t)
	from := s.screen.Count()
	<-time.After(time.Minute)
	missed, st, _ := s.screen.Snapshot()
	missed = missed[from:]
	if len(missed) < 60 {
		t.Fatalf("only %d readings on /ws in a minute without the cloud; status %+v", len(missed), st)
	}
	s.cloud.Start(t)
	held, took := s.cloud.AwaitAll(t, missed)
	t.Logf("pi: cloud away for 60 s: %d readings, all there %.1f s after its return (%d unacknowledged before)",
		len(missed), took.Seconds(), st.Store.Unacked)
	s.check(t, held)
}

func (s *story) check(t *testing.T, held e2e.Log) {
	t.Helper()
	faults := held.Faults()
	for _, fault := range faults {
		t.Error(fault)
	}
	t.Logf("pi: the cloud holds %d readings of %d epochs: %d held twice or missing without a word",
		len(held.Readings), len(held.Last), len(faults))
}

// bus: its driver is unbound, so /dev/i2c-1 vanishes, and bound again.
func (s *story) bus(t *testing.T) {
	const driver = "/sys/bus/platform/drivers/i2c-bcm2835"
	state := "systemctl show -p MainPID,NRestarts --value fieldgate"
	before := s.board.run(t, state)
	cursor := s.board.run(t, "journalctl -u fieldgate -n 0 --show-cursor | sed -n 's/^-- cursor: //p'")

	s.board.run(t, "echo 3f804000.i2c > "+driver+"/unbind; test ! -e /dev/i2c-1")
	sick := func(_ []e2e.Reading, st e2e.Status) bool { return st.About("i2c-1") || st.About("tank") }
	took := s.screen.Await(t, "a condition about the bus or its device", 0, sick)
	t.Logf("pi: bus gone -> condition %.1f s", took.Seconds())
	s.screen.AwaitSpan(t, s.screen.Count(), 10*time.Second) // the others go on, and the log has time to repeat itself

	s.board.run(t, "echo 3f804000.i2c > "+driver+"/bind")
	s.board.temperature(t, 30)
	took = s.screen.AwaitValue(t, "tank", 30)
	s.screen.Await(t, "the condition's end", 0, func(rs []e2e.Reading, st e2e.Status) bool { return !sick(rs, st) })
	t.Logf("pi: bus back -> reading %.1f s", took.Seconds())

	lines := s.board.run(t, "journalctl -u fieldgate -o cat --no-pager --after-cursor='"+cursor+"'")
	t.Logf("journal meanwhile:\n%s", lines)
	if n := len(strings.Split(lines, "\n")); n != 2 {
		t.Errorf("%d journal lines, want one at each of the two transitions", n)
	}
	if after := s.board.run(t, state); after != before {
		t.Errorf("PID and restarts were %q, are %q", before, after)
	}
}

// level: a GPIO line is driven from outside, both ways.
func (s *story) level(t *testing.T) {
	for _, level := range []float64{1, 0} {
		s.board.gpio(t, 17, level == 1)
		took := s.screen.AwaitValue(t, "door", level)
		t.Logf("pi: GPIO17 set to %v -> /ws %.1f s", level, took.Seconds())
	}
}

func online(_ []e2e.Reading, st e2e.Status) bool { return st.Uplink.State == "online" }
