package uplink

import (
	"slices"
	"time"
)

// latenessKept is of how many live updates the lateness is remembered: a
// quarter of an hour of updates once a second.
const latenessKept = 900

// Lateness is how long after its measurement the oldest reading of a live
// update was acknowledged, of the newest updates. A second of it is the time
// that readings wait for others.
type Lateness struct {
	P50 time.Duration
	P99 time.Duration
	N   int // updates
}

// lateness remembers the newest values, in a ring.
type lateness struct {
	ring [latenessKept]time.Duration
	n    int // values so far
}

func (l *lateness) add(d time.Duration) {
	l.ring[l.n%latenessKept] = d
	l.n++
}

func (l *lateness) figures() Lateness {
	n := min(l.n, latenessKept)
	if n == 0 {
		return Lateness{}
	}
	sorted := slices.Clone(l.ring[:n])
	slices.Sort(sorted)
	return Lateness{P50: sorted[n/2], P99: sorted[n*99/100], N: n}
}
