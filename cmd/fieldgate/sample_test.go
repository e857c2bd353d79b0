package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// unpackSample unpacks a file of testdata that an earlier version left, and
// what that version said of it.
func unpackSample(t *testing.T, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{
		"token", "store/credential.json", "state/operator.token", "state/ca.key", "state/server.key", "state/gateway-ca.key",
	} {
		if err := os.Chmod(filepath.Join(dir, secret), 0o600); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

// readLines reads a file of lines, each a JSON object.
func readLines(t *testing.T, path string) (all []e2e.Reading) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r e2e.Reading
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Device != "" && r.Quantity != "" { // else an event, an end or a gap
			all = append(all, r)
		}
	}
	return all
}

// Of a store that an earlier version left after a kill, `buffer stats` tells the
// same figures, and `buffer export` writes the same readings.
func TestEarlierStoreShowsSameReadings(t *testing.T) {
	t.Parallel()
	dir := unpackSample(t, "../../store/testdata/ea0f42d.zip")
	told := func(args, file string) (now, before string) {
		was, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		code, now, errs := outcome(t, append([]string{"buffer"}, strings.Fields(args+" --dir "+filepath.Join(dir, "store"))...)...)
		if code != 0 {
			t.Fatalf("buffer %s: exit %d\n%s", args, code, errs)
		}
		return now, string(was)
	}
	if now, before := told("stats --json", "stats.json"); withoutAge(t, now) != withoutAge(t, before) {
		t.Errorf("buffer stats: %s, were %s", now, before)
	}
	now, before := told("export --format ndjson", "export.ndjson")
	exported, were := exportedReadings(t, now), exportedReadings(t, before)
	if len(exported) != len(were) || len(were) == 0 {
		t.Errorf("%d readings were exported, were %d", len(exported), len(were))
	}
	for name, r := range exported {
		was := were[name]
		if was.Time == "none" {
			was.Time = "session" // it took the anchor of each block alone; the session told the time later
		}
		if late := r.Timestamp.Sub(was.Timestamp).Abs(); late > 5*time.Millisecond { // the anchors' own bound is 4 ms
			t.Fatalf("%s: at %v, was %v", name, r.Timestamp, was.Timestamp)
		}
		r.Timestamp, was.Timestamp = time.Time{}, time.Time{}
		if r != was {
			t.Fatalf("%s: %+v, was %+v", name, r, was)
		}
	}
}

// An exportedReading is a line of a reading in an export, its name left out.
type exportedReading struct {
	Device    string    `json:"device_id"`
	Quantity  string    `json:"quantity"`
	Value     float64   `json:"value"`
	Unit      string    `json:"unit"`
	Timestamp time.Time `json:"timestamp"`
	Time      string    `json:"time"`
	Quality   string    `json:"quality"`
}

// exportedReadings gives the readings of an export by epoch and seq. Lines of
// what is missing are left out.
func exportedReadings(t *testing.T, export string) map[string]exportedReading {
	t.Helper()
	all := map[string]exportedReading{}
	for line := range strings.Lines(export) {
		var r struct {
			exportedReading
			Epoch gateway.EpochID `json:"epoch"`
			Seq   uint64          `json:"seq"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s %d", r.Epoch, r.Seq)
		if _, twice := all[name]; twice {
			t.Errorf("%s was exported twice", name)
		}
		if r.Device != "" {
			all[name] = r.exportedReading
		}
	}
	return all
}

// withoutAge takes out what depends on the time of the question and on the
// file system.
func withoutAge(t *testing.T, text string) string {
	t.Helper()
	var figures map[string]any
	if err := json.Unmarshal([]byte(text), &figures); err != nil {
		t.Fatal(err)
	}
	delete(figures, "oldest_unacknowledged_s")
	delete(figures, "bytes")
	out, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A gateway and a cloud that an earlier version left, each after a kill, go on
// with the programs of today: the gateway keeps its credential and its trust
// in the cloud, and delivers what waited and what is new, over one more kill.
// The cloud then holds every reading that the earlier version told of, once,
// and no hole is unexplained.
func TestEarlierStoreAndCloudGoOn(t *testing.T) {
	t.Parallel()
	board, server := unpackSample(t, "../../store/testdata/ea0f42d.zip"), unpackSample(t, "../fieldgate-cloud/testdata/ea0f42d.zip")
	cloud := newCloud(t, "plant-7")
	cloud.State = filepath.Join(server, "state")
	t.Cleanup(func() { cloud.Stop(t) })
	addr := e2e.FreeAddr(t)
	text := fmt.Sprintf("version = 1\n[gateway]\nid = \"plant-7\"\n[uplink]\nurl = %q\nca = %q\ntoken_file = %q\n"+
		"[store]\ndir = %q\nflush_interval = \"500ms\"\nmin_free = \"1MiB\"\n[local]\nlisten = %q\nview = \"open\"\n",
		cloud.URL(), filepath.Join(cloud.State, "ca.pem"), filepath.Join(server, "token"), filepath.Join(board, "store"), addr)
	gateway := &testGateway{config: write(t, filepath.Join(board, "fieldgate.toml"), text), log: filepath.Join(board, "log"), program: program}
	gateway.setChips(t, 4, 50*time.Millisecond)

	cloud.Start(t)
	gateway.start(t)
	screen := e2e.Watch(t, addr)
	more := func(n int) {
		screen.Await(t, fmt.Sprintf("%d more readings", n), screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= n })
	}
	more(200)
	gateway.end(t, syscall.SIGKILL)
	gateway.start(t)
	more(200)
	seen, _, _ := screen.Snapshot()
	killed := seen[0].Epoch
	told := append(readLines(t, filepath.Join(board, "export.ndjson")), readLines(t, filepath.Join(server, "readings.ndjson"))...)
	cloud.AwaitAll(t, slices.DeleteFunc(slices.Concat(told, seen), func(r e2e.Reading) bool { return r.Epoch == killed }))
	held, _ := cloud.Await(t, "the end of the epoch that was killed", func(h e2e.Log) bool { return h.Ended[killed] != "" })
	for _, r := range told {
		if got := held.Readings[r.Name()]; len(got) != 1 || got[0].Value != r.Value || got[0].Device != r.Device ||
			got[0].Quantity != r.Quantity {
			t.Fatalf("%v is held as %+v", r, got)
		}
	}
	for _, r := range held.Lacks(seen) {
		if !held.Explained(r.Name()) {
			t.Errorf("lost and in no gap: %s/%d", r.Epoch, r.Seq)
		}
	}
	gateway.end(t, syscall.SIGTERM)
	for _, fault := range held.Faults() {
		t.Error(fault)
	}
	t.Logf("%d readings told by the earlier version, %d held now", len(told), len(held.Readings))
}
