package cloud

import (
	"fmt"
	"net/url"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
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

// parseTime takes what gateway.ParseMoment does; "" is no time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return gateway.ParseMoment(text, now)
}

func (r timeRange) bounded() bool { return !r.from.IsZero() || !r.to.IsZero() }

// meets tells whether any of t0 … t1 lies in the range; zero times are no
// bounds.
func (r timeRange) meets(t0, t1 time.Time) bool {
	return (r.to.IsZero() || t0.IsZero() || !t0.After(r.to)) && (r.from.IsZero() || t1.IsZero() || !t1.Before(r.from))
}

func (r timeRange) holds(t time.Time) bool { return r.meets(t, t) }
