package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store"
)

// storeOf makes a store with n readings of the plant, in blocks of 5,000.
func storeOf(t *testing.T, n int) (dir string, s *store.Store) {
	t.Helper()
	dir = t.TempDir()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := store.Open(store.Options{
		Dir: dir, FlushInterval: time.Second, HistoryFlush: time.Minute, Rate: 1e6, Burst: 100,
		Clock: clock.NewFake(gateway.BootID{1}), Conditions: health.New(quiet), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	source := plant.New(1)
	for done := 0; done < n; done += 5000 {
		if _, err := s.Append(source.Append(nil, 5000)); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return dir, s
}

func closed(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// content gives name and content of everything in a folder.
func content(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		all.WriteString(path + "\n")
		if err == nil && !d.IsDir() {
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Looking at a store changes nothing in it.
func TestBufferCommandsChangeNothing(t *testing.T) {
	t.Parallel()
	dir, s := storeOf(t, 20_000)
	if code, _, stderr := outcome(t, "buffer", "stats", "--dir", dir); code != cli.ExitFailed ||
		!strings.Contains(stderr, "systemctl stop fieldgate") {
		t.Errorf("while a gateway runs: %d %s", code, stderr)
	}
	closed(t, s)
	before := content(t, dir)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"stats"}, "20000 wait for the cloud"},
		{[]string{"stats", "--json"}, `"unacknowledged":20000`},
		{[]string{"verify"}, "20000 readings are whole\nno damage was found"},
		{[]string{"verify", "--json"}, `"readings":20000`},
		{[]string{"export", "--device", "boiler", "--quantity", "temperature"}, "boiler,temperature,"},
	} {
		code, stdout, stderr := outcome(t, append(append([]string{"buffer"}, c.args...), "--dir", dir)...)
		if code != cli.ExitOK || !strings.Contains(stdout, c.says) {
			t.Errorf("%v: %d\n%.500s\n%s", c.args, code, stdout, stderr)
		}
	}
	if content(t, dir) != before {
		t.Error("looking at the store changed it")
	}
	code, stdout, _ := outcome(t, "buffer", "export", "--dir", dir, "--format", "ndjson")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var last struct {
		Seq   uint64
		Value *float64
	}
	if err := json.Unmarshal([]byte(lines[19_999]), &last); code != cli.ExitOK || len(lines) != 20_001 ||
		err != nil || last.Seq != 20_000 || last.Value == nil || !strings.HasSuffix(lines[20_000], `"closed":20000}`) {
		t.Errorf("exported %d lines, the last %s, %v", len(lines), lines[len(lines)-1], err)
	}
}

// Damage is found, told, and saved from.
func TestBufferVerifyAndRepair(t *testing.T) {
	t.Parallel()
	dir, s := storeOf(t, 40_000)
	closed(t, s)
	volume := filepath.Join(dir, "log", "000001.db")
	data, err := os.ReadFile(volume)
	if err != nil {
		t.Fatal(err)
	}
	hurt := 0 // every copy of the block that begins at 10,001: first seq stands at byte 24
	for i := 0; i+200 < len(data); i++ {
		if string(data[i:i+4]) == "fgbk" && binary.BigEndian.Uint64(data[i+24:]) == 10_001 {
			data[i+150] ^= 1
			hurt++
		}
	}
	if hurt == 0 {
		t.Fatal("the block is not where it was expected")
	}
	if err := os.WriteFile(volume, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := outcome(t, "buffer", "verify", "--dir", dir); code != cli.ExitFailed ||
		!strings.Contains(stdout, "damaged") || !strings.Contains(stderr, "buffer repair") {
		t.Errorf("verify of a damaged store: %d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := outcome(t, "buffer", "repair", "--dir", dir); code != cli.ExitOK || !strings.Contains(stdout, "were saved") {
		t.Errorf("repair: %d %s%s", code, stdout, stderr)
	}
	code, stdout, stderr := outcome(t, "buffer", "verify", "--dir", dir)
	if code != cli.ExitOK || !strings.Contains(stdout, "35000 readings are whole\n5000 readings are known to be missing: unknown") {
		t.Errorf("verify after repair: %d %s%s", code, stdout, stderr)
	}
}

// Readings that nobody wants any more go, and leave a gap.
func TestBufferDropLeavesGap(t *testing.T) {
	dir, s := storeOf(t, 40_000)
	board := clock.NewFake(gateway.BootID{1})
	half := board.Anchor().Wall(gateway.Stamp(1_000_000 + 1000*1_000_000)) // 1,000 s of 2,000
	closed(t, s)
	if code, _, stderr := outcome(t, "buffer", "drop", "--dir", dir, "--before", half.Format(time.RFC3339)); code != cli.ExitFailed ||
		!strings.Contains(stderr, "nothing was given up") {
		t.Errorf("without an answer: %d %s", code, stderr)
	}
	code, stdout, stderr := outcome(t, "buffer", "drop", "--dir", dir, "--before", half.Format(time.RFC3339), "--yes")
	if code != cli.ExitOK || !strings.Contains(stdout, "15000 readings") && !strings.Contains(stdout, "20000 readings") {
		t.Errorf("drop: %d %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := outcome(t, "buffer", "verify", "--dir", dir); code != cli.ExitOK || !strings.Contains(stdout, "missing: dropped") {
		t.Errorf("verify after drop: %d %s", code, stdout)
	}
}

// What the cloud acknowledged and the card never had, as after a kill, is not
// missing; nor is what was given up after the ack.
func TestVerifyKnowsAcknowledgedReadings(t *testing.T) {
	dir, s := storeOf(t, 5000)
	id := s.Epochs()[0].ID
	image := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := store.Open(store.Options{
		Dir: image, FlushInterval: time.Second, HistoryFlush: time.Minute, Rate: 1e6, Burst: 100,
		Clock: clock.NewFake(gateway.BootID{1}), Conditions: health.New(quiet), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Session(true, time.Minute)
	if err := s.Ack(id, 5070, false); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	code, stdout, stderr := outcome(t, "buffer", "verify", "--dir", image)
	if code != cli.ExitOK || !strings.Contains(stdout, "5000 readings are whole\n70 more are with the cloud") ||
		strings.Contains(stdout, "missing") {
		t.Errorf("verify: %d %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = outcome(t, "buffer", "export", "--dir", image, "--format", "ndjson")
	if code != cli.ExitOK || !strings.Contains(stdout, `{"type":"cloud",`) ||
		!strings.Contains(stdout, `"first":5001,"n":70}`) || strings.Contains(stdout, `"gap"`) {
		t.Errorf("export: %d %.300s%s", code, stdout[max(0, len(stdout)-300):], stderr)
	}
}

// A setClock shows what a test sets.
type setClock struct {
	stamp  gateway.Stamp
	anchor gateway.Anchor
}

func (c *setClock) Stamp() gateway.Stamp   { return c.stamp }
func (c *setClock) Anchor() gateway.Anchor { return c.anchor }

// A board that learns the time late has the right time in its export for what
// it read before: that of the history on site and of the cloud.
func TestExportOfATimeLearnedLate(t *testing.T) {
	dir, board := t.TempDir(), &setClock{stamp: 1e6, anchor: gateway.Anchor{Boot: gateway.BootID{1}}}
	run := func(do func(*store.Store) error) {
		quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
		s, err := store.Open(store.Options{
			Dir: dir, FlushInterval: time.Second, HistoryFlush: time.Minute, Rate: 1e6, Burst: 100,
			Clock: board, Conditions: health.New(quiet), Log: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := do(s); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
	}
	run(func(s *store.Store) error { // its block says that the clock was never set
		ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
		_, err := s.Append([]gateway.Reading{{Channel: ch, Value: 20.5, At: 1e6}})
		return err
	})
	board.stamp, board.anchor = 60e6, gateway.Anchor{
		Boot: gateway.BootID{1}, From: 60e6, Offset: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP,
	}
	run(func(s *store.Store) error {
		_, err := s.AddEvent(gateway.Event{Kind: gateway.EventAnchor})
		return err
	})
	code, stdout, stderr := outcome(t, "buffer", "export", "--dir", dir, "--format", "ndjson")
	first, _, _ := strings.Cut(stdout, "\n")
	var line struct {
		Timestamp time.Time
		Time      string
	}
	if err := json.Unmarshal([]byte(first), &line); code != cli.ExitOK || err != nil ||
		!line.Timestamp.Equal(time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC)) || line.Time != "ntp" {
		t.Errorf("exported %s: %d %v %s", first, code, err, stderr)
	}
}
