package local

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// The metrics of the store are these. Lines of one metric stand together, as
// the format of Prometheus wants it.
func TestMetricsOfTheStore(t *testing.T) {
	full := Store{
		Head: 1, Stored: 30, Unacked: 3, OldestUnacked: 4.5, Bytes: 5, FlushInterval: 6, LossWindow: 7, Volatile: "unknown", Commits: 8,
		Gaps: 9, Thinned: 10, Journal: 11, HeadBytes: 12, JournalBytes: 13, TimeToFull: 14, WrittenDaily: 15, CardYears: 16.5,
		GapReadings: map[string]uint64{"dropped": 17}, Openings: 18, UncleanStops: 19,
	}
	var text bytes.Buffer
	writeStoreMetrics(&text, full)
	want := strings.Fields(strings.NewReplacer(" ", "=", "\n", " ").Replace(`brownouts_24h 19
bytes{where="head"} 12
bytes{where="journal"} 13
bytes{where="volumes"} 5
card_life_years 16.5
commits_total 8
full_in_seconds 14
gap_readings{why="card_failed"} 0
gap_readings{why="dropped"} 17
gap_readings{why="unclean_stop"} 0
gap_readings{why="unknown"} 0
loss_window_seconds 7
oldest_unacked_seconds 4.5
openings_24h 18
readings{where="head"} 1
readings{where="journal"} 11
readings{where="volumes"} 19
thinned_readings 10
unacked_readings 3
volatile 0
volatile_unknown 1
written_bytes_per_day 15`))
	for i, w := range want {
		j := strings.LastIndexByte(w, '=')
		want[i] = "fieldgate_store_" + w[:j] + " " + w[j+1:]
	}
	got := strings.Split(strings.TrimSpace(text.String()), "\n")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	seen, last := map[string]bool{}, ""
	for line := range strings.Lines(text.String()) {
		name := line[:strings.IndexAny(line, "{ ")]
		if name != last && seen[name] {
			t.Errorf("the lines of %s are apart", name)
		}
		seen[name], last = true, name
	}
	text.Reset()
	writeStoreMetrics(&text, Store{})
	if strings.Contains(text.String(), "full_in") || strings.Contains(text.String(), "card_life") || !strings.Contains(text.String(),
		"head\"} 0") {
		t.Errorf("an empty store gives\n%s", text.String())
	}
}
