package gateway

import (
	"math"
	"time"
)

// A Channel is one quantity of one device. Channels are made once, when the
// configuration is applied, and never change; readings point to them, so two
// readings belong to the same channel if their pointers are equal.
type Channel struct {
	Device   string // device_id
	Quantity string // "temperature"
	Unit     string // from the IANA SenML units registry: "Cel", "%RH", "Pa", "V", …; "" has none
}

// Quality says how far a value may be believed.
type Quality uint8

// The qualities, with the names they have on every wire.
const (
	Good       Quality = iota // "good"
	Suspect                   // "suspect": read, but implausible beside its neighbours
	Stale                     // "stale": the last value of a device that no longer answers
	OutOfRange                // "out_of_range": outside the range the configuration allows
	Simulated                 // "simulated": from a simulated chip
)

var qualityNames = [...]string{"good", "suspect", "stale", "out_of_range", "simulated"}

// String gives the name used in JSON.
func (q Quality) String() string {
	if int(q) < len(qualityNames) {
		return qualityNames[q]
	}
	return "unknown"
}

// A Stamp is CLOCK_BOOTTIME in microseconds: it never jumps and goes on
// through suspend. It means something only together with a BootID; an Anchor
// of that boot turns it into wall time.
type Stamp int64

// Add gives the stamp d later, or the last there is.
func (s Stamp) Add(d time.Duration) Stamp { return Stamp(sum(int64(s), d.Microseconds())) }

// Sub gives the time from o to s. 292 years are the most that it gives.
func (s Stamp) Sub(o Stamp) time.Duration { return Micros(difference(int64(s), int64(o))) }

// Micros gives a duration of so many microseconds; 292 years are the most.
func Micros(us int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Microsecond)
	return time.Duration(min(max(us, -most), most)) * time.Microsecond
}

// A Reading is one value of one channel. A bool is 0 or 1.
type Reading struct {
	Channel *Channel
	Value   float64
	At      Stamp
	Quality Quality
}
