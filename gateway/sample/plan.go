package sample

import "time"

// A plan is when a device is due: at start + phase + k*interval. It never
// drifts, however long visits take.
type plan struct {
	start           time.Time
	phase, interval time.Duration
}

// after gives the first due time after now, and how many between the visit
// that was due at due and now have to be left out.
func (p plan) after(due, now time.Time) (next time.Time, skipped uint64) {
	k := p.count(now)
	if begun := p.count(due); k > begun {
		skipped = uint64(k - begun)
	}
	return p.start.Add(p.phase + time.Duration(k)*p.interval), skipped
}

// count is how many due times there are up to t.
func (p plan) count(t time.Time) int64 {
	since := t.Sub(p.start) - p.phase
	if since < 0 {
		return 0
	}
	return int64(since/p.interval) + 1
}
