package store

import (
	"math"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const second = gateway.Stamp(1e6)

func TestRiskOfATime(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		burst int
		d     time.Duration
		want  uint64
	}{
		{0, 0, time.Hour, 0},
		{10, 0, time.Second, 10},
		{10, 4, time.Second, 14},
		{10, 4, 0, 4},
		{0.3, 0, time.Second, 1}, // a part of a reading may be one
		{1e12, 7, math.MaxInt64, gateway.AtMostUnknown},
		{math.Inf(1), 0, time.Second, gateway.AtMostUnknown},
	} {
		if got := risk(c.rate, c.burst, c.d); got != c.want {
			t.Errorf("%v/s and %d at once in %v: %d, want %d", c.rate, c.burst, c.d, got, c.want)
		}
	}
}

// How many readings behind the last that is known may be missing: never fewer
// than can have come, and no number where nothing bounds it.
func TestBoundOfAnOpenEnd(t *testing.T) {
	rated := entry{Growth: gateway.OpenEnded, Last: 100, LastAt: 50 * second, EndAt: 55 * second, Sure: true, Rate: 10, Burst: 3}
	with := func(change func(*entry)) entry {
		e := rated
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		entry
		want uint64
		why  gateway.Why
	}{
		"by rate and time":                 {rated, 50 + 6, gateway.WhyUncleanStop},
		"a commit that took longer":        {with(func(e *entry) { e.AtMost = 400 }), 400, gateway.WhyUncleanStop},
		"less what the cloud holds":        {with(func(e *entry) { e.Known = 130 }), 26, gateway.WhyUncleanStop},
		"the cloud holds all of it":        {with(func(e *entry) { e.Known = 9000 }), 0, gateway.WhyUncleanStop},
		"an end that is not sure":          {with(func(e *entry) { e.Sure = false }), gateway.AtMostUnknown, gateway.WhyUncleanStop},
		"an end before the last reading":   {with(func(e *entry) { e.EndAt = 49 * second }), 6, gateway.WhyUncleanStop},
		"counted by a stop in order":       {with(func(e *entry) { e.Counted = 117 }), 17, gateway.WhyCardFailed},
		"counted, and the cloud has more":  {with(func(e *entry) { e.Counted, e.Known = 117, 120 }), 0, gateway.WhyCardFailed},
		"some were in a file that is lost": {with(func(e *entry) { e.Lost = 1 }), 56, gateway.WhyUnknown},
		"written by an earlier version":    {entry{Growth: gateway.OpenEnded, Last: 100, AtMost: 12, Lost: 1}, 13, gateway.WhyUnknown},
		"by an earlier version, without bounds": {entry{Growth: gateway.OpenEnded, AtMost: gateway.AtMostUnknown, Lost: 1},
			gateway.AtMostUnknown, gateway.WhyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			e := &epoch{entry: c.entry}
			if end := e.ending(); end.Closed || end.AtMost != c.want || end.Why != c.why || end.T0 != c.LastAt || end.T1 != c.EndAt {
				t.Errorf("the end is %+v, want %d because of %s", end, c.want, c.why)
			}
		})
	}
	closed := &epoch{entry: entry{Growth: gateway.Closed, Last: 100, Known: 300}}
	if end := closed.ending(); !end.Closed || end.Last != 100 || end.AtMost != 0 {
		t.Errorf("an epoch that ended in order ends as %+v", end)
	}
}

// When an epoch that a power cut ended had ended at the latest.
func TestWhenAnInterruptedEpochEnded(t *testing.T) {
	one, other := gateway.BootID{1}, gateway.BootID{2}
	anchor := func(boot gateway.BootID, offset gateway.Stamp, q gateway.ClockQuality, bound time.Duration) gateway.Anchor {
		return gateway.Anchor{Boot: boot, Offset: int64(offset), Quality: q, Error: bound}
	}
	for name, c := range map[string]struct {
		then, now gateway.Anchor
		endAt     gateway.Stamp
		sure      bool
	}{
		"of the same boot: when the store was opened": {anchor(one, 0, gateway.ClockNone, 0),
			anchor(one, 0, gateway.ClockNone, 0), 90 * second, true},
		"of another boot, both clocks synchronised": {anchor(other, 1000*second, gateway.ClockNTP, time.Second),
			anchor(one, 1070*second, gateway.ClockNTP, time.Second), 72 * second, true},
		"of another boot, one clock only likely": {anchor(other, 1000*second, gateway.ClockRTC, 0),
			anchor(one, 1070*second, gateway.ClockNTP, 0), 70 * second, false},
		"of another boot that never knew the time": {anchor(other, 1000*second, gateway.ClockNone, 0),
			anchor(one, 1070*second, gateway.ClockNTP, 0), 0, false},
		"of another boot, this one knows no time": {anchor(other, 1000*second, gateway.ClockNTP, 0),
			anchor(one, 1070*second, gateway.ClockNone, 0), 0, false},
		"never before its last reading": {anchor(other, 1000*second, gateway.ClockNTP, 0),
			anchor(one, 1010*second, gateway.ClockNTP, 0), 50 * second, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := &epoch{entry: entry{Last: 100, LastAt: 50 * second, Acked: 104, Anchor: c.then, Rate: 10}}
			e.interrupt(c.now, 90*second)
			e.locate(c.now)
			if e.Growth != gateway.OpenEnded || e.Known != 104 || e.EndAt != c.endAt || e.Sure != c.sure {
				t.Errorf("ended at %d, sure %v; want %d, %v", e.EndAt, e.Sure, c.endAt, c.sure)
			}
			before := e.EndAt
			e.locate(anchor(gateway.BootID{3}, 5000*second, gateway.ClockRTC, 0))
			if c.endAt != 0 && e.EndAt != before {
				t.Errorf("a clock that knows less moved the end from %d to %d", before, e.EndAt)
			}
		})
	}
}

// An epoch whose end is known loses nothing behind it.
func TestLostFilesOpenNoClosedEpoch(t *testing.T) {
	closed := &epoch{entry: entry{Growth: gateway.Closed, Last: 10}}
	closed.lose()
	if closed.Lost != 0 || closed.AtMost != 0 {
		t.Errorf("a closed epoch lost %d, at most %d", closed.Lost, closed.AtMost)
	}
	open := &epoch{entry: entry{Growth: gateway.OpenEnded, Last: 10, Rate: 1}}
	if open.lose(); open.Lost != 1 || open.AtMost != 0 {
		t.Errorf("lost %d, at most %d; its rate bounds it", open.Lost, open.AtMost)
	}
	unrated := &epoch{entry: entry{Growth: gateway.OpenEnded, Last: 10}}
	if unrated.lose(); unrated.AtMost != gateway.AtMostUnknown {
		t.Errorf("at most %d, and nothing bounds it", unrated.AtMost)
	}
}
