package ledger

import (
	"fmt"
	"net/url"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// A TimeRange is from when to when; a zero time is no bound. Both ends belong
// to it.
type TimeRange struct{ From, To time.Time }

// ParseRange reads ?from= and ?to=.
func ParseRange(q url.Values, now time.Time) (r TimeRange, err error) {
	if r.From, err = parseTime(q.Get("from"), now); err != nil {
		return r, fmt.Errorf("from: %w", err)
	}
	if r.To, err = parseTime(q.Get("to"), now); err != nil {
		return r, fmt.Errorf("to: %w", err)
	}
	if !r.From.IsZero() && !r.To.IsZero() && r.To.Before(r.From) {
		return r, fmt.Errorf("to (%s) lies before from (%s)", r.To.Format(TimeLayout), r.From.Format(TimeLayout))
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

func (r TimeRange) Bounded() bool { return !r.From.IsZero() || !r.To.IsZero() }

// Meets tells whether any of t0 … t1 lies in the range; zero times are no
// bounds.
func (r TimeRange) Meets(t0, t1 time.Time) bool {
	return (r.To.IsZero() || t0.IsZero() || !t0.After(r.To)) && (r.From.IsZero() || t1.IsZero() || !t1.Before(r.From))
}

func (r TimeRange) Holds(t time.Time) bool { return r.Meets(t, t) }

func Latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// UTC gives t in whole milliseconds, nil for no time at all.
func UTC(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// TimeLayout is RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"
