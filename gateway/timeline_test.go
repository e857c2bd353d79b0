package gateway_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
)

// A wallCase is one of testdata/walltimes.json.
type wallCase struct {
	Name    string
	Anchors []struct {
		From, Offset int64
		Quality      string
		ErrUS        int64 `json:"err_us"`
	}
	Walls []struct {
		Stamp, Wall int64
		Quality     string
	}
}

func wallCases(t testing.TB) []wallCase {
	t.Helper()
	text, err := os.ReadFile("testdata/walltimes.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []wallCase }
	if err := json.Unmarshal(text, &all); err != nil || len(all.Cases) == 0 {
		t.Fatal(err)
	}
	return all.Cases
}

func clockNamed(name string) gateway.ClockQuality {
	names := []string{"none", "rtc", "session", "ntp"}
	return gateway.ClockQuality(slices.Index(names, name))
}

// TestTimeline holds the rule for wall time against the table of cases.
func TestTimeline(t *testing.T) {
	for _, c := range wallCases(t) {
		var line gateway.Timeline
		for _, a := range c.Anchors {
			line, _ = line.With(gateway.Anchor{From: gateway.Stamp(a.From), Offset: a.Offset, Quality: clockNamed(a.Quality),
				Error: gateway.Micros(a.ErrUS)})
		}
		for _, w := range c.Walls {
			got, q := line.Wall(gateway.Stamp(w.Stamp))
			if got.UnixMicro() != w.Wall || q.String() != w.Quality {
				t.Errorf("%s: stamp %d is %d (%s), want %d (%s)", c.Name, w.Stamp, got.UnixMicro(), q, w.Wall, w.Quality)
			}
			if _, until := line.At(gateway.Stamp(w.Stamp)); until <= gateway.Stamp(w.Stamp) {
				t.Errorf("%s: the anchor of stamp %d holds until %d", c.Name, w.Stamp, until)
			}
		}
	}
}

// TestTimelineBounds: a span over a step has the bounds of both sides; of one
// whose end is not known its beginning is all that is known.
func TestTimelineBounds(t *testing.T) {
	line := gateway.Timeline{{From: 100, Offset: 1000, Quality: gateway.ClockNTP}, {From: 200, Offset: 1050, Quality: gateway.ClockNTP}}
	for _, c := range [][4]int64{{150, 199, 1150, 1199}, {150, 200, 1150, 1250}, {0, 10, 1000, 1010}, {300, 0, 1350, 1350}} {
		w0, w1, q := line.Bounds(gateway.Stamp(c[0]), gateway.Stamp(c[1]))
		if w0.UnixMicro() != c[2] || w1.UnixMicro() != c[3] || q != gateway.ClockNTP {
			t.Errorf("stamps %d to %d lie in %d to %d (%s), want %d to %d", c[0], c[1], w0.UnixMicro(), w1.UnixMicro(), q, c[2], c[3])
		}
	}
}

// TestTimelineKeeps128 anchors, the first and the newest among them.
func TestTimelineKeeps128(t *testing.T) {
	var line gateway.Timeline
	for i := range 400 {
		line, _ = line.With(gateway.Anchor{From: gateway.Stamp(i)})
	}
	if len(line) != 128 || line[0].From != 0 || line[127].From != 399 {
		t.Errorf("%d anchors from %d to %d", len(line), line[0].From, line[len(line)-1].From)
	}
}

// TestAnchorFromTheLastStampOn: an anchor that begins to hold with the greatest
// stamp decides the time of that one.
func TestAnchorFromTheLastStampOn(t *testing.T) {
	var line gateway.Timeline
	line, _ = line.With(gateway.Anchor{From: math.MinInt64, Offset: math.MinInt64, Quality: gateway.ClockSession})
	line, _ = line.With(gateway.Anchor{From: math.MaxInt64, Quality: gateway.ClockSession})
	w, _ := line.Wall(math.MaxInt64)
	if _, w1, _ := line.Bounds(math.MinInt64, math.MaxInt64); w.After(w1) {
		t.Errorf("the last stamp is %s, behind the end %s of all", w, w1)
	}
}

// TestTimelineExtremes: stamps and offsets may be any number; bounds end, hold
// every stamp between them, and are times that RFC 3339 can write.
func TestTimelineExtremes(t *testing.T) {
	number := rapid.OneOf(rapid.Int64(),
		rapid.SampledFrom([]int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1 << 53, math.MaxInt64 - 1, math.MaxInt64}))
	rapid.Check(t, func(rt *rapid.T) {
		var line gateway.Timeline
		for range rapid.IntRange(0, 6).Draw(rt, "anchors") {
			line, _ = line.With(gateway.Anchor{From: gateway.Stamp(number.Draw(rt, "from")), Offset: number.Draw(rt, "offset"),
				Quality: gateway.ClockQuality(rapid.IntRange(0, 3).Draw(rt, "quality"))})
		}
		t0, t1 := gateway.Stamp(number.Draw(rt, "t0")), gateway.Stamp(number.Draw(rt, "t1"))
		w0, w1, _ := line.Bounds(t0, t1)
		for _, s := range []gateway.Stamp{t0, max(t0, t1)} {
			w, _ := line.Wall(s)
			if w.Before(w0) || w.After(w1) {
				rt.Fatalf("stamp %d is %s, outside %s to %s", s, w, w0, w1)
			}
		}
		for _, w := range []time.Time{w0, w1} {
			if _, err := w.MarshalText(); err != nil {
				rt.Fatal(err)
			}
		}
		if d := t1.Sub(t0); (t1 > t0 && d <= 0) || (t1 < t0 && d >= 0) {
			rt.Fatalf("from %d to %d are %s", t0, t1, d)
		}
	})
}
