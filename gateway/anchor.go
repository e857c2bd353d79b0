package gateway

import "time"

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

// Wall turns a stamp of the anchor's boot into wall time (UTC).
func (a Anchor) Wall(s Stamp) time.Time {
	return time.UnixMicro(int64(s) + a.Offset).UTC()
}
