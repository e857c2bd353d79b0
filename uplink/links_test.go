package uplink_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
)

const inNamespace = "FIELDGATE_TEST_NAMESPACE"

// ownNetwork runs the test again, alone, in a network of its own: true there.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	if os.Getuid() != 0 {
		skip(t, "a network of its own needs root")
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, tool+" is missing: apt-get install util-linux iproute2")
		}
	}
	cmd := exec.Command("unshare", "-n", os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v:\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// A gateway that waits for its next try connects at once when the interface
// comes up through which its cloud is reached.
func TestConnectsWhenAnInterfaceComesUp(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t) {
		return
	}
	s := inStreet(t) // listens on 127.0.0.1, which is down yet
	ip(t, "link add gw0 type veth peer name cloud0")
	s.run(s.options())
	watchLinks(t, s.up.Wake)
	s.until("in a pause of more than 4 s", func() bool {
		st := s.up.Status()
		return st.State == uplink.Waiting && time.Until(st.NextTry) > 4*time.Second
	})
	next := s.up.Status().NextTry
	ip(t, "addr add 127.0.0.1/8 dev lo")
	ip(t, "link set lo up")
	<-time.After(linksSettle) // of loopback nothing is told
	if st := s.up.Status(); st.State != uplink.Waiting {
		t.Errorf("loopback woke it: %+v", st)
	}
	ip(t, "link set cloud0 up")
	ip(t, "addr add 192.0.2.1/24 dev gw0")
	ip(t, "link set gw0 up")
	s.online()
	if early := time.Until(next); early <= 0 {
		t.Errorf("waited for the end of its pause; %+v\n%s", s.up.Status(), s.log)
	} else {
		t.Logf("tried %v before the end of its pause", early.Round(time.Millisecond))
	}
}

// linksSettle is longer than what gathers messages of the kernel.
const linksSettle = 400 * time.Millisecond

func watchLinks(t *testing.T, wake func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- uplink.WatchLinks(ctx, wake, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// One wake for all that happens together, and none for what cannot help.
func TestWhatWakes(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t) {
		return
	}
	var wakes atomic.Int64
	ip(t, "link add gw0 type veth peer name cloud0")
	watchLinks(t, func() { wakes.Add(1) })
	<-time.After(linksSettle)
	for _, c := range []struct {
		do    string
		wakes bool
	}{
		{"addr add 127.0.0.1/8 dev lo", false},
		{"link set lo up", false},
		{"link set cloud0 up", false},
		{"addr add fe80::7/64 dev gw0 nodad", false},
		{"link set gw0 up", true},
		{"link set gw0 alias uplink", false},
		{"addr add 192.0.2.1/24 dev gw0", true},
		{"route add 198.51.100.0/24 via 192.0.2.2", true},
		{"route add 203.0.113.0/24 via 192.0.2.2 table 7", false},
		{"route del 198.51.100.0/24", false},
		{"link set gw0 down", false},
		{"link del gw0", false},
	} {
		before := wakes.Load()
		ip(t, c.do)
		for end := time.Now().Add(patience); c.wakes && wakes.Load() == before && time.Now().Before(end); {
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(linksSettle)
		if n := wakes.Load() - before; n > 1 || n == 1 != c.wakes {
			t.Errorf("%s: woken %d times, want %v", c.do, n, c.wakes)
		}
	}
}
