package gateway

import (
	"math"
	"time"
)

// ClockQuality says where the wall time of an anchor comes from, and so how
// far it may be believed.
type ClockQuality uint8

// The clock qualities, worst first, with the names they have on every wire.
const (
	ClockNone    ClockQuality = iota // "none": the system clock was never set; wall time is a guess
	ClockRTC                         // "rtc": from a battery-backed clock at boot
	ClockSession                     // "session": from the time exchange with the cloud
	ClockNTP                         // "ntp": the kernel says that it is synchronised
)

var clockNames = [...]string{"none", "rtc", "session", "ntp"}

// String gives the name used in JSON.
func (q ClockQuality) String() string {
	if int(q) < len(clockNames) {
		return clockNames[q]
	}
	return "unknown"
}

// An Anchor ties one boot's stamps to wall time: from the stamp From on,
// wall time in microseconds since 1970 is stamp + Offset.
type Anchor struct {
	Boot    BootID
	From    Stamp
	Offset  int64         // microseconds
	Quality ClockQuality  // where Offset comes from
	Error   time.Duration // bound on the error of Offset; 0 means unknown
}

// Wall turns a stamp of the anchor's boot into wall time (UTC). Stamps and
// offsets come from outside and may be any number: a time before the year 1 or
// after 9999, which RFC 3339 cannot write, becomes the first or the last that
// it can.
func (a Anchor) Wall(s Stamp) time.Time { return time.UnixMicro(a.Micros(s)).UTC() }

// Micros is Wall in microseconds since 1970.
func (a Anchor) Micros(s Stamp) int64 {
	return min(max(sum(int64(s), a.Offset), firstMicros), lastMicros)
}

// Of the years 1 to 9999.
const firstMicros, lastMicros = -62_135_596_800_000_000, 253_402_300_799_999_999

// plain gives the stamps, from since on up to until, whose Micros are the stamp
// and the offset.
func (a Anchor) plain(since, until Stamp) (from, end Stamp) {
	return max(since, Stamp(difference(firstMicros, a.Offset))), min(until, Stamp(difference(lastMicros, a.Offset)))
}

// sum adds, and gives the greatest or least number where the sum has no room.
func sum(a, b int64) int64 {
	switch c := a + b; {
	case a > 0 && b > 0 && c < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && c >= 0:
		return math.MinInt64
	default:
		return c
	}
}

// difference subtracts likewise.
func difference(a, b int64) int64 {
	switch c := a - b; {
	case a >= 0 && b < 0 && c < 0:
		return math.MaxInt64
	case a < 0 && b > 0 && c >= 0:
		return math.MinInt64
	default:
		return c
	}
}
