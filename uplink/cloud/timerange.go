package cloud

import (
	"fmt"
	"net/url"
	"time"
)

// A timeRange is from when to when; a zero time is no bound. Both ends belong
// to it.
type timeRange struct{ from, to time.Time }

// parseRange reads ?from= and ?to=.
func parseRange(q url.Values, now time.Time) (r timeRange, err error) {
	if r.from, err = parseTime(q.Get("from"), now); err != nil {
		return r, fmt.Errorf("from: %w", err)
	}
	if r.to, err = parseTime(q.Get("to"), now); err != nil {
		return r, fmt.Errorf("to: %w", err)
	}
	if !r.from.IsZero() && !r.to.IsZero() && r.to.Before(r.from) {
		return r, fmt.Errorf("to (%s) lies before from (%s)", r.to.Format(timeLayout), r.from.Format(timeLayout))
	}
	return r, nil
}

// parseTime takes RFC 3339, or a duration before now such as -24h.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.Add(d).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%.40q is neither a time like 2026-11-25T06:00:00Z nor an age like -24h", text)
	}
	return t.UTC(), nil
}

func (r timeRange) bounded() bool { return !r.from.IsZero() || !r.to.IsZero() }

// meets tells whether any of t0 … t1 lies in the range; zero times are no
// bounds.
func (r timeRange) meets(t0, t1 time.Time) bool {
	return (r.to.IsZero() || t0.IsZero() || !t0.After(r.to)) && (r.from.IsZero() || t1.IsZero() || !t1.Before(r.from))
}

func (r timeRange) holds(t time.Time) bool { return r.meets(t, t) }
