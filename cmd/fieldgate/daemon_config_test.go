package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A reported is what the cloud says of a gateway's configuration.
type reported struct {
	Ver    uint64
	State  string
	Errors []string
}

// configure puts a configuration and gives its version.
func configure(t *testing.T, cloud *e2e.Cloud, query, doc string) uint64 {
	t.Helper()
	status, text, err := cloud.Ask(t.Context(), http.MethodPut, "/config"+query, doc)
	var v struct{ Ver uint64 }
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("put the configuration: %d %s (%v)", status, text, err)
	}
	return v.Ver
}

// awaitReport waits until the gateway has said what became of a version.
func awaitReport(t *testing.T, cloud *e2e.Cloud, ver uint64) reported {
	t.Helper()
	var c struct{ Reported *reported }
	for began := time.Now(); time.Since(began) < e2e.Patience; {
		_, text, err := cloud.Ask(t.Context(), http.MethodGet, "/config", "")
		if err == nil && json.Unmarshal(text, &c) == nil && c.Reported != nil && c.Reported.Ver == ver {
			return *c.Reported
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("no report of version %d; the last is %+v", ver, c.Reported)
	return reported{}
}

// Promise 10, with the real programs: a bad configuration from the cloud is
// rejected with everything that is wrong; a good one is applied without the
// loss of a reading; one that moves the uplink to where nobody answers is
// rolled back; and the board's own file is never touched. The daemon is killed
// in the middle, again and again.
func TestConfigurationFromTheCloud(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	own, err := os.ReadFile(st.config)
	if err != nil {
		t.Fatal(err)
	}
	cloud.Start(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	read := func(device string) {
		t.Helper()
		screen.Await(t, "a reading of "+device, screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool {
			return slices.ContainsFunc(rs, func(r e2e.Reading) bool { return r.Device == device })
		})
	}
	read("chip-3")

	device := "[[device]]\nid = %q\ndriver = \"lm75\"\nmodel = \"tmp105\"\nbus = \"sim-0\"\naddress = 0x48\ninterval = \"20ms\"\n"
	r := awaitReport(t, cloud, configure(t, cloud, "", "version = 1\n[[device]]\nid = \"a\"\ndriver = \"lm76\"\n[uplink]\nurll = \"x\"\n"))
	if all := strings.Join(r.Errors, "\n"); r.State != "rejected" || len(r.Errors) < 3 || !strings.Contains(all, "lm76") ||
		!strings.Contains(all, ":6:1:") || !strings.Contains(all, "url is missing") {
		t.Errorf("a bad one is %s: %q", r.State, r.Errors)
	}
	read("chip-3")
	awaitConfig(t, screen, 0, "rejected")

	if r := awaitReport(t, cloud, configure(t, cloud, "", "version = 1\n"+fmt.Sprintf(device, "renamed"))); r.State != "applied" {
		t.Errorf("a good one is %+v", r)
	}
	read("renamed")
	awaitConfig(t, screen, r.Ver+1, "")

	_, rest, _ := strings.Cut(string(own), "[uplink]")
	table, _, _ := strings.Cut(rest, "[store]")
	dead := strings.Replace(table, strings.TrimPrefix(cloud.URL(), "wss://"), e2e.FreeAddr(t)+"/v1/gateway", 1)
	moved := configure(t, cloud, "?confirm_s=2", "version = 1\n[uplink]"+dead+fmt.Sprintf(device, "moved"))
	read("moved") // it is on trial
	if r := awaitReport(t, cloud, moved); r.State != "rolled_back" || len(r.Errors) != 1 {
		t.Errorf("one that reaches no cloud is %+v", r)
	}
	read("renamed")
	awaitConfig(t, screen, moved-1, "rolled_back")

	var ver uint64
	var cuts []e2e.Reading
	for i := range 5 {
		ver = configure(t, cloud, "", "version = 1\n[uplink]"+table+fmt.Sprintf(device, fmt.Sprintf("again-%d", i)))
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		st.end(t, syscall.SIGKILL)
		seen, _, _ := screen.Snapshot()
		cuts = append(cuts, seen[len(seen)-1])
		st.start(t)
		read(fmt.Sprintf("again-%d", i))
	}
	if r := awaitReport(t, cloud, ver); r.State != "applied" {
		t.Errorf("in the end it is %+v", r)
	}
	st.end(t, syscall.SIGTERM)
	from := screen.Count()
	st.start(t)
	screen.Await(t, "a reading", from, func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) > 0 })
	read("again-4") // kept over a restart
	if now, err := os.ReadFile(st.config); err != nil || string(now) != string(own) {
		t.Errorf("the board's own file has changed (%v)", err)
	}
	everythingHeld(t, cloud, screen, cuts)
}

// awaitConfig waits until the gateway says on site that this version is in
// force, and that a later one was refused in this way, or none.
func awaitConfig(t *testing.T, screen *e2e.Screen, ver uint64, refused string) {
	t.Helper()
	screen.Await(t, fmt.Sprintf("version %d in force, one %q", ver, refused), screen.Count(), func(_ []e2e.Reading, st e2e.Status) bool {
		c := st.Config
		if c.Version != ver || (c.Refused != nil) != (refused != "") {
			return false
		}
		return c.Refused == nil || c.Refused.State == refused && c.Refused.Version > ver && len(c.Refused.Errors) > 0
	})
}

// everythingHeld checks that what was seen is in the cloud's log, what was
// killed with its epoch excepted.
func everythingHeld(t *testing.T, cloud *e2e.Cloud, screen *e2e.Screen, killed []e2e.Reading) {
	t.Helper()
	seen, _, _ := screen.Snapshot()
	seen = slices.DeleteFunc(seen, func(r e2e.Reading) bool {
		return slices.ContainsFunc(killed, func(k e2e.Reading) bool { return k.Epoch == r.Epoch })
	})
	held, _ := cloud.AwaitAll(t, seen)
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
}

// A command from the cloud's command line goes all the way to the door of a
// real gateway, which has no outputs, and back.
func TestCommandToAGatewayWithoutOutputs(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	st := newTestGateway(t, cloud, e2e.FreeAddr(t))
	cloud.Start(t)
	st.start(t)
	out, err := exec.Command(cloud.Program, "send", "--state", cloud.State, "plant-7", "pump", "set", "on", "--wait").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "rejected: this gateway has no output named pump") {
		t.Errorf("%v: %s", err, out)
	}
}
