package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// stepSize is the least change of the board's own clock that makes another
// anchor: an anchor may be off by as much besides its bound.
const stepSize = 5 * time.Millisecond

// anchorsApart gives how far the anchors lie apart that the gateway's events
// tell of: by as much a time may differ from one that was told before the clock
// became better known. Gateway and cloud have the clock of this machine, so each
// anchor must be right within its own bound; one that is not is an error.
func anchorsApart(t *testing.T, cloud *e2e.Example) time.Duration {
	t.Helper()
	b, err := os.ReadFile(cloud.Path("readings.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	truth := wallSinceBoot(t)
	least, most := time.Duration(0), time.Duration(0)
	anchors := 0
	for line := range bytes.Lines(b) {
		var event struct {
			Anchor *struct {
				Offset  int64  `json:"offset"`
				Quality string `json:"quality"`
				ErrUS   int64  `json:"err_us"`
			} `json:"anchor"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if event.Anchor == nil {
			continue
		}
		a := event.Anchor
		off, bound := time.Duration(a.Offset)*time.Microsecond-truth, time.Duration(a.ErrUS)*time.Microsecond+stepSize
		if off.Abs() > bound {
			t.Errorf("an anchor (%s) is wrong by %v, and says %v at most", a.Quality, off, bound-stepSize)
		}
		anchors++
		least, most = min(least, off), max(most, off)
	}
	if anchors == 0 {
		t.Error("no event tells of an anchor")
	}
	return most - least + stepSize
}

// wallSinceBoot gives by how much wall time is ahead of BOOTTIME, the best of a
// few tries: another process may run between the two looks.
func wallSinceBoot(t *testing.T) (offset time.Duration) {
	t.Helper()
	look := func(clock int32) int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(clock, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	narrowest := int64(1 << 62)
	for range 20 {
		before, wall := look(unix.CLOCK_BOOTTIME), look(unix.CLOCK_REALTIME)
		if width := look(unix.CLOCK_BOOTTIME) - before; width < narrowest {
			narrowest, offset = width, time.Duration(wall-before-width/2)
		}
	}
	return offset
}
