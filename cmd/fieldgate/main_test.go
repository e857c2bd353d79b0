package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// TestMain lets the test binary be the program itself, race detector and all:
// tests start it again as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FIELDGATE_TEST_MAIN") != "" || len(os.Args) > 1 && os.Args[1] == "verify-state" {
		main()
	}
	quickEnd()
	code := m.Run()
	if dir := cloudDir; dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// quickEnd has the programs that the tests start wait 50 ms for races at their
// end: the race detector waits a second, at the end of every program.
func quickEnd() {
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50") // without it the tests take longer
	}
}

// program gives a command that runs this program. It dies with the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "FIELDGATE_TEST_MAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// outcome runs the program to its end.
func outcome(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := program(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

var cloudDir string

// cloudProgramPath builds fieldgate-cloud once.
var cloudProgramPath = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fieldgate-cloud-")
	if err != nil {
		return "", err
	}
	cloudDir = dir
	path := filepath.Join(dir, "fieldgate-cloud")
	out, err := exec.Command("go", "build", "-o", path, "../fieldgate-cloud").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func newCloud(t *testing.T, gateway string) *e2e.Cloud {
	t.Helper()
	path, err := cloudProgramPath()
	if err != nil {
		t.Fatal(err)
	}
	return &e2e.Cloud{Program: path, State: t.TempDir(), Addr: e2e.FreeAddr(t), Gateway: gateway, Name: "localhost"}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.toml"), "version = 1\n[[device]]\nid = \"board\"\ndriver = \"hostsys\"\n")
	bad := write(t, filepath.Join(dir, "bad.toml"), "version = 1\n[[device]]\nid = \"board\"\ndriver = \"hostsis\"\n")
	for _, c := range []struct {
		args         []string
		code         int
		stdout, errs string
	}{
		{[]string{"version"}, 0, "fieldgate dev", ""},
		{[]string{"check", good}, 0, "is a valid configuration: 1 device,", ""},
		{[]string{"check", bad}, 78, "", `bad.toml:4:10: device[board].driver: there is no driver "hostsis"; did you mean "hostsys"?`},
		{[]string{"run", "--config", bad}, 78, "", "bad.toml:4:10:"},
		{[]string{"check", filepath.Join(dir, "none.toml")}, 1, "", "no such file"},
		{[]string{"chek"}, 2, "", "fieldgate --help"},
		{[]string{"run", "--no-such-flag"}, 2, "", "fieldgate --help"},
		{[]string{}, 2, "", "fieldgate --help"},
		{[]string{"--help"}, 0, "check", ""},
	} {
		code, stdout, errs := outcome(t, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(errs, c.errs) {
			t.Errorf("fieldgate %s: exit %d\nstdout: %s\nstderr: %s\nwant exit %d, %q and %q",
				strings.Join(c.args, " "), code, stdout, errs, c.code, c.stdout, c.errs)
		}
	}
}

// Ten mistakes, ten messages, in one go.
func TestTenMistakesAreToldAtOnce(t *testing.T) {
	bad := write(t, filepath.Join(t.TempDir(), "ten.toml"), `version = 2
colour = "green"
[gateway]
id = "plant 7"
[uplink]
url = "ws://cloud.example.com/v1/gateway"
[store]
flush_intervall = "5s"
max_size = "big"
[local]
view = "everybody"
[[device]]
id = "a"
driver = "lm75"
bus = "i2c-1"
address = 0x48
interval = "5 parsecs"
[[device]]
id = "b"
driver = "lm75"
bus = "i2c-1"
address = 0x48
[[device]]
id = "b"
driver = "bme208"
`)
	code, _, errs := outcome(t, "check", bad)
	if n := strings.Count(errs, "ten.toml:"); code != cli.ExitConfig || n < 10 {
		t.Errorf("exit %d with %d messages:\n%s", code, n, errs)
	}
	for _, place := range []string{
		":1:11:", ":2:1:", ":4:6:", ":6:7:", ":8:1:", ":9:12:", ":11:8:", ":17:12:", ":22:11:", ":24:6:", ":25:10:",
	} {
		if !strings.Contains(errs, place) {
			t.Errorf("nothing is said about %s in\n%s", place, errs)
		}
	}
}

// While another program has the port, or the token is missing, the gateway
// samples and stores; the log has one line at the begin and one at the end,
// and the page is served as soon as it can be.
func TestLocalSideStopsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	cfg := write(t, filepath.Join(dir, "f.toml"),
		fmt.Sprintf("version = 1\n[gateway]\nid = \"g\"\n[store]\ndir = %q\nflush_interval = \"1s\"\nmin_free = \"1MiB\"\n"+
			"[local]\nlisten = %q\ntoken_file = %q\n[[device]]\nid = \"boiler\"\ndriver = \"lm75\"\nbus = \"sim-1\"\n"+
			"address = 0x48\ninterval = \"50ms\"\n",
			dir, taken.Addr(), filepath.Join(dir, "no-token")))
	cmd := program(t, "run", "--config", cfg)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	var log strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stderr, &log))
	readUntil(t, lines, "in use by another program")
	_ = taken.Close()
	readUntil(t, lines, "are served on")
	resp, err := http.Get("http://" + taken.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	if n := strings.Count(log.String(), "local_down"); n != 2 || len(log.String()) > 8<<10 {
		t.Errorf("the log has %d lines of the page in %d bytes, want 2 in a few:\n%s", n, log.Len(), log.String())
	}
	if n := strings.Count(log.String(), "local_token"); n != 1 || !strings.Contains(log.String(), "no-token") {
		t.Errorf("the log tells %d times that the token is missing:\n%s", n, log.String())
	}
	if _, out, _ := outcome(t, "buffer", "stats", "--dir", dir); strings.HasPrefix(out, "0 readings") ||
		!strings.Contains(out, "readings in") {
		t.Errorf("what was read meanwhile: %s", out)
	}
}
