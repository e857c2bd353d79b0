package gateway

import "time"

// A HistoryQuery asks for readings of some channels, reduced to buckets of
// equal width.
type HistoryQuery struct {
	Channels []Channel // device and quantity; the unit is not looked at
	From, To time.Time // wall time, To excluded
	Buckets  int       // from From to To, 1 or more
}

// A Series is the history of one channel.
type Series struct {
	Channel
	Buckets []Bucket // those that have readings, in order of time
}

// A Bucket is what was read of one channel in a span of time. NaN is counted
// in N and nowhere else; if all values are NaN, Min, Max and Mean are NaN.
type Bucket struct {
	From         time.Time // where the bucket begins
	N            uint64    // readings
	Min, Max     float64   // exact
	MinAt, MaxAt time.Time
	Mean         float64
	Worst        Quality
	Thinned      bool // readings in it were reduced before; Min and Max are still exact
}

// A Hole is a span of time readings of which are known to be lost.
type Hole struct {
	From, To time.Time
	Why      Why
	AtMost   uint64 // readings
}

// A History is the answer to a query.
type History struct {
	Series []Series // in the order of the query; a channel without readings has no buckets
	Holes  []Hole   // of all channels together
}
