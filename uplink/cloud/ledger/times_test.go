package ledger

import (
	"encoding/json"
	"testing"

	"github.com/fieldgate/fieldgate/gateway/timelinetest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestClockCases holds the clocks of a ledger against the table of cases, as
// they are in memory and as they come back from their documents.
func TestClockCases(t *testing.T) {
	for _, c := range timelinetest.Cases(t) {
		for _, boot := range c.Boots() {
			fresh := &Clock{Boot: boot}
			for _, a := range c.Anchors {
				if a.Boot == boot {
					fresh.Add(record.WireAnchor(a))
				}
			}
			text, err := json.Marshal(fresh)
			if err != nil {
				t.Fatal(err)
			}
			read := &Clock{}
			if err := json.Unmarshal(text, read); err != nil || read.Boot != boot {
				t.Fatalf("%s: %v of %s", c.Name, err, text)
			}
			for _, w := range c.Walls {
				if w.Boot != boot {
					continue
				}
				for _, clock := range []*Clock{fresh, read} {
					if wall, q := clock.Wall(int64(w.Stamp)); wall.UnixMicro() != w.Wall || q != w.Quality {
						t.Errorf("%s: stamp %d is %v (%s), want %d (%s)", c.Name, w.Stamp, wall, q, w.Wall, w.Quality)
					}
					t0, t1, _ := clock.Bounds(int64(w.Stamp), int64(w.Stamp))
					if t0.UnixMicro() > w.Wall || t1.UnixMicro() < w.Wall {
						t.Errorf("%s: stamp %d lies between %v and %v, want %d", c.Name, w.Stamp, t0, t1, w.Wall)
					}
				}
			}
		}
	}
}
