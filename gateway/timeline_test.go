package gateway_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/timelinetest"
)

// TestTimelineCases holds the rule for wall time against the table of cases.
func TestTimelineCases(t *testing.T) {
	for _, c := range timelinetest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			lines := gateway.Timelines{}
			for _, a := range c.Anchors {
				lines.Learn(a)
			}
			for _, w := range c.Walls {
				clock := lines.Clock(c.First(w.Boot))
				got, q := clock.Wall(w.Stamp)
				if got.UnixMicro() != w.Wall || q != w.Quality || clock.Micros(w.Stamp) != w.Wall {
					t.Errorf("stamp %d is %d (%s), want %d (%s)", w.Stamp, got.UnixMicro(), q, w.Wall, w.Quality)
				}
				if _, until := clock.At(w.Stamp); until <= w.Stamp && w.Stamp != math.MaxInt64 {
					t.Errorf("the anchor of stamp %d holds until %d", w.Stamp, until)
				}
			}
		})
	}
}

// TestWallClock: what a clock remembers of one stamp is not taken for another,
// in whichever order they are asked for.
func TestWallClock(t *testing.T) {
	for _, c := range timelinetest.Cases(t) {
		lines := gateway.Timelines{}
		for _, a := range c.Anchors {
			lines.Learn(a)
		}
		for _, boot := range c.Boots() {
			clock := lines.Clock(c.First(boot))
			for _, w := range slices.Concat(c.Walls, c.Walls[:len(c.Walls)-1]) { // from the end to the beginning, too
				if w.Boot == boot && clock.Micros(w.Stamp) != w.Wall {
					t.Errorf("%s: stamp %d is %d, want %d", c.Name, w.Stamp, clock.Micros(w.Stamp), w.Wall)
				}
			}
		}
	}
}

// TestAnchorsOfNoBoot: an anchor whose boot is all zeros counts for what it came
// with alone.
func TestAnchorsOfNoBoot(t *testing.T) {
	lines := gateway.Timelines{}
	lines.Learn(gateway.Anchor{Offset: 1000, Quality: gateway.ClockNTP})
	if got := lines.Clock(gateway.Anchor{Offset: 7}).Micros(1); got != 8 || len(lines) != 0 {
		t.Errorf("stamp 1 is %d, want 8; %d boots are known", got, len(lines))
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
