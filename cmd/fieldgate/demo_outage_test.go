package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// `fieldgate demo --outage` fills the store as two hours without uplink
// would, and then all of it goes to the cloud, once.
func TestDemoDrainsAnOutage(t *testing.T) {
	t.Parallel()
	cloud, err := cloudProgramPath()
	if err != nil {
		t.Fatal(err)
	}
	demo := program(t, "demo", "--outage", "2h", "--listen", e2e.FreeAddr(t), "--cloud-listen", e2e.FreeAddr(t), "--state", t.TempDir())
	demo.Env = append(demo.Env, "PATH="+filepath.Dir(cloud)+":"+os.Getenv("PATH"))
	demo.Stderr = os.Stderr
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	filled := readUntil(t, lines, "a reading")
	if !strings.Contains(filled, "144000 readings in") {
		t.Errorf("the demo says:\n%s", filled)
	}
	curl := regexp.MustCompile(`(?m)^\s+(curl .*)$`).FindStringSubmatch(readUntil(t, lines, "Ctrl-C"))
	if curl == nil {
		t.Fatal("the demo does not say how to ask the cloud")
	}
	readUntil(t, lines, "sending the backlog to the cloud: 144")
	out, err := exec.Command("sh", "-c", curl[1]).Output()
	if err != nil {
		t.Fatalf("%s: %v", curl[1], err)
	}
	seen := map[string]int{}
	name := regexp.MustCompile(`"epoch":"([0-9a-f]+)","seq":(\d+)`)
	for line := range bytes.Lines(out) {
		if m := name.FindSubmatch(line); m != nil && !bytes.Contains(line, []byte(`"type":"event"`)) { // events have names of their own
			seen[string(m[1])+"/"+string(m[2])]++
		}
	}
	if len(seen) < 144_000-100 { // the last few may be under way when the drain counts as over
		t.Errorf("the cloud holds %d readings of 144,000", len(seen))
	}
	for reading, n := range seen {
		if n != 1 {
			t.Fatalf("the cloud holds %s %d times", reading, n)
		}
	}
	_ = demo.Process.Signal(os.Interrupt)
	_, _ = io.Copy(io.Discard, stdout)
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo did not end in order: %v", err)
	}
}
