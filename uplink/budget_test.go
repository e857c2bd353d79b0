package uplink_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/uplink"
)

const mib = 1 << 20

func TestBudgetTable(t *testing.T) {
	// 30 MiB in the 30 days of November: one a day.
	b := uplink.Budget{Limit: 30 * mib, Floor: time.Minute}
	day := func(d float64) time.Time {
		return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(d * 24 * float64(time.Hour)))
	}
	for name, c := range map[string]struct {
		used    int64
		now     time.Time
		backlog bool
		live    time.Duration
	}{
		"a month begins":                      {0, day(0), true, 0},
		"a day ahead":                         {mib - 1, day(0), true, 0},
		"more than a day ahead":               {mib, day(0), false, 0},
		"half a day more":                     {mib + mib/2, day(0), false, 30 * time.Second},
		"two days ahead":                      {2 * mib, day(0), false, time.Minute},
		"far ahead":                           {20 * mib, day(0), false, time.Minute},
		"time has caught up":                  {10 * mib, day(9.5), true, 0},
		"used evenly":                         {15 * mib, day(15), true, 0},
		"the last day, nearly all is used":    {30*mib - 1, day(29.5), true, 0},
		"the last day, all is used":           {30 * mib, day(29.5), false, time.Minute},
		"exceeded":                            {40 * mib, day(29.9), false, time.Minute},
		"exceeded, and then the next month":   {0, day(30), true, 0},
		"in the zone of the person who looks": {0, day(30).In(time.FixedZone("east", 14*3600)), true, 0},
	} {
		a := b.Allow(c.used, c.now)
		if a.Backlog != c.backlog || a.Live != c.live {
			t.Errorf("%s: %+v", name, a)
		}
		if !a.Backlog && (!a.Resume.After(c.now) || !b.Allow(c.used, a.Resume).Backlog && c.used < b.Limit) {
			t.Errorf("%s: resumes %v", name, a.Resume)
		}
	}
	if a := (uplink.Budget{}).Allow(1<<60, time.Now()); !a.Backlog || a.Live != 0 {
		t.Errorf("without a limit: %+v", a)
	}
}

// Whoever obeys a budget uses no more than it, up to what never gives way and
// one message; and uses all of it, if there is something to send.
func TestBudgetIsKeptAndUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(10*mib, 2000*mib).Draw(t, "limit")
		b := uplink.Budget{Limit: limit, Floor: time.Minute}
		now := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 1, 0, 0, 0, 0, time.UTC)
		end := now.AddDate(0, 1, 0)
		used, message := int64(0), int64(256<<10)
		for now.Before(end) {
			a := b.Allow(used, now)
			if a.Backlog {
				used += message
				continue
			}
			if a.Resume.Before(now) {
				t.Fatalf("at %v: %+v", now, a)
			}
			now = a.Resume
		}
		if used > limit+message || used < limit-message {
			t.Errorf("used %d of %d", used, limit)
		}
	})
}
