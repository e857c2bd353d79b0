package gateway

import "time"

// A Summary is what thinning leaves of the readings of one channel in one
// interval: how many there were and the envelope of their values. NaN is
// counted in N and NaN and nowhere else; if all values are NaN, Min, Max and
// Mean are NaN.
type Summary struct {
	Channel  *Channel
	From     Stamp         // the interval begins here …
	Interval time.Duration // … and is so long, whole microseconds
	N        uint64        // readings, 1 or more
	NaN      uint64        // of these not a number
	Min, Max float64       // exact
	Mean     float64       // to two decimals more than the values have
	Worst    Quality
}
