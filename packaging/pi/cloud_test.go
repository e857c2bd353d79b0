//go:build pi

package pi

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

const (
	cloudState = "/var/lib/fieldgate-cloud"
	asCloud    = "runuser -u fieldgate-cloud -- fieldgate-cloud "
)

// ownCloud: the cloud server's package and service under the board's systemd, with the board's own gateway enrolled
// over TLS; it ends by kill and by systemctl. It needs no step before it but the installation:
//
//	go test -tags pi -v -count=1 -timeout 60m -run 'TestPi/(install|its_own_cloud)' ./packaging/pi
func (s *story) ownCloud(t *testing.T) {
	start := time.Now()
	s.cloud.Stop(t)
	s.installCloud(t)
	here := s.enrolHere(t)
	held, _ := here.Await(t, "readings of the board", func(h e2e.Log) bool { return len(h.Readings) >= 10 })
	t.Logf("pi: installed, enrolled and 10 readings in its log after %.0f s", time.Since(start).Seconds())

	s.killCloud(t, here, len(held.Readings))
	s.stopCloud(t)

	s.board.run(t, "systemctl start fieldgate-cloud")
	held, _ = here.Await(t, "more readings", func(h e2e.Log) bool { return len(h.Readings) > len(held.Readings)+10 })
	s.check(t, held)
	t.Logf("pi: the cloud on the board took %.0f s in all", time.Since(start).Seconds())
}

// installCloud: dpkg alone, and the service runs as its own user, in what systemd calls a good sandbox.
func (s *story) installCloud(t *testing.T) {
	debs, _ := filepath.Glob(filepath.Join(s.root, "dist", "fieldgate-cloud_*_arm64.deb"))
	if len(debs) != 1 {
		t.Fatalf("want one arm64 package of the cloud in dist/, got %v: run make deb", debs)
	}
	deb, err := os.ReadFile(debs[0])
	if err != nil {
		t.Fatal(err)
	}
	s.board.put(t, "/root/cloud.deb", deb, true)
	s.board.run(t, "dpkg -i /root/cloud.deb")
	got := s.board.run(t, "systemctl is-active fieldgate-cloud; systemctl is-enabled fieldgate-cloud; "+
		"ps -o user:20= -p $(systemctl show -p MainPID --value fieldgate-cloud); "+
		"stat -c '%U %a' "+cloudState+"; stat -c '%U %a' "+cloudState+"/operator.token; systemctl show -p StatusText --value fieldgate-cloud")
	if want := "active\nenabled\nfieldgate-cloud\nfieldgate-cloud 700\nfieldgate-cloud 600\nserving on "; !strings.HasPrefix(got, want) {
		t.Errorf("state, enablement, user, folder, token, status of the service:\n%s\nwant\n%s…", got, want)
	}
	security := s.board.run(t, "systemd-analyze security --no-pager fieldgate-cloud | tail -n 1")
	var exposure float64
	for _, word := range strings.Fields(security) {
		if v, err := strconv.ParseFloat(word, 64); err == nil {
			exposure = v
		}
	}
	if t.Logf("pi: %s", security); exposure == 0 || exposure > 2 {
		t.Errorf("the exposure is %v, want at most 2", exposure)
	}
}

// enrolHere gives the board's gateway to the board's cloud, and that as the host sees it.
func (s *story) enrolHere(t *testing.T) *e2e.Cloud {
	s.board.put(t, "/etc/fieldgate/fieldgate.toml", []byte(devices), true)
	s.board.put(t, "/etc/fieldgate/conf.d/uplink.toml",
		[]byte("[uplink]\nurl = \"wss://localhost:8443/v1/gateway\"\nca = \"/etc/fieldgate/own-ca.pem\"\n"), true)
	s.board.run(t, "install -m 644 "+cloudState+"/ca.pem /etc/fieldgate/own-ca.pem; "+
		asCloud+"token add "+gatewayID+" --new --state "+cloudState+" | runuser -u fieldgate -- fieldgate enroll https://localhost:8443; "+
		"systemctl restart fieldgate")
	state := t.TempDir()
	for _, name := range []string{"ca.pem", "operator.token"} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(s.board.run(t, "cat "+cloudState+"/"+name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &e2e.Cloud{State: state, Addr: fmt.Sprintf("127.0.0.1:%d", s.board.tlsPort), Gateway: gatewayID}
}

// killCloud: systemd starts it again, and the readings go on.
func (s *story) killCloud(t *testing.T, here *e2e.Cloud, had int) {
	start := time.Now()
	s.board.run(t, "systemctl kill -s KILL fieldgate-cloud")
	here.Await(t, "readings after the kill", func(h e2e.Log) bool { return len(h.Readings) > had+5 })
	t.Logf("pi: killed -> restarted by systemd and more readings in its log %.0f s", time.Since(start).Seconds())
	if got := s.board.run(t, "systemctl show -p ActiveState,NRestarts --value fieldgate-cloud | tr '\\n' ' '"); sorted(got) != "1 active" {
		t.Errorf("state and restarts: %s, want active after one restart", got)
	}
}

// stopCloud: it drains in order, and its journal can be read.
func (s *story) stopCloud(t *testing.T) {
	start := time.Now()
	s.board.run(t, "systemctl stop fieldgate-cloud")
	took := time.Since(start)
	got := s.board.run(t, "systemctl show -p ActiveState,Result,ExecMainStatus --value fieldgate-cloud | tr '\\n' ' '")
	if want := "0 inactive success"; sorted(got) != want {
		t.Errorf("after systemctl stop: %s, want %s", sorted(got), want)
	}
	lines := s.board.run(t, "journalctl -b -u fieldgate-cloud -o cat --no-pager")
	t.Logf("pi: systemctl stop %.1f s; the journal of the cloud's service:\n%s", took.Seconds(), lines)
	for _, want := range []string{
		"listening on ", "Main process exited, code=killed, status=9/KILL", "stopped\n", "Deactivated successfully",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("the journal does not say %q", want)
		}
	}
	if strings.Contains(lines, "level=INFO") || strings.Contains(lines, "panic") {
		t.Error("the journal has lines that are not for people")
	}
	if bad := s.board.run(t,
		"journalctl -b -u fieldgate-cloud -p err -o cat --no-pager _COMM=fieldgate-cloud || true"); strings.Contains(bad, "fieldgate") {
		t.Errorf("errors of the server:\n%s", bad)
	}
}
