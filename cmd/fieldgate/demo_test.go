package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// TestDemo does what the README tells a newcomer to do: `make run`, look at
// the dashboard's address, ask the cloud with the printed command, cut the
// uplink and restore it, end it.
func TestDemo(t *testing.T) {
	t.Parallel()
	addr, cloudAddr := e2e.FreeAddr(t), e2e.FreeAddr(t)
	state := t.TempDir()
	make := exec.Command("make", "-C", "../..", "run", "DEMO=--listen "+addr+" --cloud-listen "+cloudAddr+" --state "+state)
	make.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	make.Stderr = os.Stderr
	stdout, err := make.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := make.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	banner := readUntil(t, lines, "Ctrl-C")
	pid := regexp.MustCompile(`kill -USR1 (\d+)`).FindStringSubmatch(banner)
	curl := regexp.MustCompile(`(?m)^\s+(curl .*)$`).FindStringSubmatch(banner)
	if pid == nil || curl == nil || !strings.Contains(banner, "http://"+addr+"/") {
		t.Fatalf("the demo says:\n%s", banner)
	}

	screen := e2e.Watch(t, addr)
	uplink := func(state string) func([]e2e.Reading, e2e.Status) bool {
		return func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State == state }
	}
	screen.Await(t, "uplink online", 0, uplink("online"))
	if code := get(t, "http://"+addr+"/"); code != http.StatusOK {
		t.Errorf("the dashboard answers %d", code)
	}

	sendSignal(t, "USR1", pid[1])
	readUntil(t, lines, "uplink cut")
	screen.Await(t, "a buffer that grows", screen.Count(), func(rs []e2e.Reading, s e2e.Status) bool {
		return s.Uplink.State == "waiting" && s.Store.Unacked >= 5
	})
	sendSignal(t, "USR1", pid[1])
	readUntil(t, lines, "uplink restored")
	if text := readUntil(t, lines, " delivered in "); !regexp.MustCompile(
		`(?m)^[1-9]\d* readings delivered in \d+\.\d s, complete$`).MatchString(text) {
		t.Errorf("of what waited the demo says:\n%s", text)
	}
	screen.Await(t, "a buffer that drained", screen.Count(), func(_ []e2e.Reading, s e2e.Status) bool {
		return s.Uplink.State == "online" && s.Store.Unacked < 20
	})
	out, err := exec.Command("sh", "-c", curl[1]).Output()
	if err != nil || !strings.Contains(string(out), `"device_id":"boiler"`) {
		t.Errorf("%s: %v\n%s", curl[1], err, out)
	}

	sendSignal(t, "HUP", pid[1]) // ends nothing
	screen.Await(t, "a demo that goes on", screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) > 5 })
	sendSignal(t, "INT", pid[1])
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	if err := make.Wait(); err != nil {
		t.Errorf("the demo did not end in order: %v", err)
	}
	if _, err := os.Stat(filepath.Join(state, "gateway", "state.db")); err != nil {
		t.Errorf("the folder given by --state was not kept: %v", err)
	}
}

func readUntil(t *testing.T, lines *bufio.Scanner, want string) string {
	t.Helper()
	var text strings.Builder
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), want) {
			return text.String()
		}
	}
	t.Fatalf("the demo ended before it said %q:\n%s", want, text.String())
	return ""
}

func sendSignal(t *testing.T, name, pid string) {
	t.Helper()
	if out, err := exec.Command("kill", "-"+name, pid).CombinedOutput(); err != nil {
		t.Fatalf("kill -%s %s: %v: %s", name, pid, err, out)
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
