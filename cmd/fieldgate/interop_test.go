package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// A cloud of sixty lines in Python, the one that the protocol's description
// comes with, is killed and started while the daemon sends to it in JSON. Its
// file holds every reading seen on site once, with its time: the two may differ
// only as far as the anchors do by which the gateway told them.
func TestPythonCloudHoldsReadingsOnce(t *testing.T) {
	t.Parallel()
	cloud := e2e.NewExample(t, "../../uplink/wire/example_cloud.py")
	addr := e2e.FreeAddr(t)
	st := gatewayFor(t, cloud, addr)
	cloud.Start(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	lateness, lives := e2e.Lateness(t), 0
	for held := 0; lives < 3; lives++ { // each pause of the gateway may be twice as long as the one before
		if lives > 0 {
			cloud.Start(t)
		}
		held = awaitHeld(t, cloud, held+100)
		<-time.After(time.Duration(rand.IntN(150)) * time.Millisecond) // anywhere in the middle of things
		cloud.Kill()
	}
	cloud.Start(t)
	awaitHeld(t, cloud, screen.Count())
	st.end(t, syscall.SIGTERM) // closes its epoch
	st.start(t)
	screen.Await(t, "a new epoch", screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) > 50 })
	seen, _, _ := screen.Snapshot()
	late := time.After(e2e.Patience)
	for log := cloud.Read(t); len(log.Lacks(seen)) > 0 || log.Ended[seen[0].Epoch] != "closed"; log = cloud.Read(t) {
		select {
		case <-late:
			t.Fatalf("%d of %d readings are not there; ends: %v", len(log.Lacks(seen)), len(seen), log.Ended)
		case <-time.After(50 * time.Millisecond):
		}
	}
	log := cloud.Read(t)
	for _, fault := range log.Faults() {
		t.Error(fault)
	}
	// No event tells of an anchor that stood for less than a second. It is wrong by half of a ping's way at most:
	// here, cloud, here again, each as late as the machine is.
	apart := anchorsApart(t, cloud) + 3*lateness()
	for _, r := range seen {
		if got := log.Readings[r.Name()][0]; got.Device != r.Device || got.Value != r.Value ||
			got.Timestamp.Sub(r.Timestamp).Abs() > apart+2*time.Millisecond { // told in milliseconds
			t.Errorf("%+v on site is %+v in the cloud", r, got)
		}
	}
	t.Logf("%d readings seen on site, %d held by the cloud, which was killed %d times; times at most %v apart",
		len(seen), len(log.Readings), lives, apart)
}

// awaitHeld waits until the cloud holds so many readings, and gives how many.
func awaitHeld(t *testing.T, cloud *e2e.Example, n int) int {
	t.Helper()
	late := time.After(e2e.Patience)
	for {
		if held := len(cloud.Read(t).Readings); held >= n {
			return held
		}
		select {
		case <-late:
			t.Fatalf("the cloud does not get %d readings", n)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// gatewayFor makes a gateway with simulated chips that sends to the example.
func gatewayFor(t *testing.T, cloud *e2e.Example, listen string) *testGateway {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("version = 1\n[gateway]\nid = \"plant-7\"\n[uplink]\nurl = \"wss://%s/v1/gateway\"\nca = %q\ntoken_file = %q\n"+
		"[store]\ndir = %q\n[local]\nlisten = %q\nview = \"open\"\n",
		cloud.Addr, cloud.Path("cert.pem"), cloud.Path("token"), filepath.Join(dir, "state"), listen)
	for i := range 4 {
		text += fmt.Sprintf("[[device]]\nid = \"chip-%d\"\ndriver = \"lm75\"\nmodel = \"tmp105\"\nbus = \"sim-%d\"\n"+
			"address = 0x%x\ninterval = \"20ms\"\n", i, i%2, 0x48+i)
	}
	return &testGateway{config: write(t, filepath.Join(dir, "fieldgate.toml"), text), log: filepath.Join(dir, "log"), program: program}
}
