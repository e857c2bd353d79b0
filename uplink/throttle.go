package uplink

import "time"

const (
	throttleLeast = 4 << 10 // bytes; half a second of 64 kbit/s
	throttleFirst = 4 << 10
	queueShort    = 200 * time.Millisecond // waiting on the line that is no reason to slow down
	queueLong     = 500 * time.Millisecond
	longFor       = 30 * time.Second // at the least window, before the line itself is taken to have become longer
)

// A throttle keeps the backlog from filling the queues between here and the
// cloud, where live readings would wait behind it: it is at most about a
// second of the line, whatever the line is. How long bytes wait is measured
// by the answers: what they took longer than the quickest ones. (The idea is
// that of LEDBAT, RFC 6817: yield to others before the queue is long.)
//
// The quickest answer may be of another line: a modem that falls back to an
// older network keeps its connections and takes ten times as long. Then answers
// stay slow although hardly anything is under way, and the backlog would crawl
// until the session ends. So it is let rest until nothing of it is under way,
// and a ping measures the line anew.
type throttle struct {
	window  int           // bytes of backlog without an answer
	base    time.Duration // of the quickest answer
	slowed  time.Time     // when the window was last made smaller
	long    time.Time     // since when it is the least and answers are slow all the same; zero: they are not
	resting bool
	pinged  time.Time // while resting: when the line was asked; zero: not yet
}

func newThrottle() throttle { return throttle{window: throttleFirst} }

// answer takes one measurement: bytes (0 for what is no backlog) that left at
// sent were answered now. most is what the cloud allows.
func (t *throttle) answer(f flight, now time.Time, most int) {
	took := now.Sub(f.sent)
	t.roundTrip(took)
	if f.lane != laneBacklog {
		return
	}
	switch queue := took - t.base; {
	case queue <= queueShort:
		t.window = min(max(most, throttleLeast), t.window+f.bytes)
		t.long = time.Time{}
	case queue > queueLong && t.window == throttleLeast:
		if t.long.IsZero() {
			t.long = now
		}
		t.resting = t.resting || now.Sub(t.long) >= longFor
	case queue > queueLong && f.sent.After(t.slowed):
		t.window = max(throttleLeast, t.window/2)
		t.slowed = now
	}
}

// measure tells whether to send a ping now that measures the line anew: the
// backlog rests, and nothing of it is under way any more.
func (t *throttle) measure(now time.Time, underWay int) bool {
	if !t.resting || underWay > 0 || !t.pinged.IsZero() {
		return false
	}
	t.pinged, t.base = now, 0
	return true
}

// rested ends the rest, with the answer to a ping or without one.
func (t *throttle) rested() {
	if !t.pinged.IsZero() {
		t.resting, t.pinged, t.long = false, time.Time{}, time.Time{}
	}
}

// roundTrip takes the measurement of a ping, which waits for no disk.
func (t *throttle) roundTrip(took time.Duration) {
	if t.base == 0 || took < t.base {
		t.base = took
	}
}

// message is how big a message of the backlog may be: half of the window, so
// that there are two on the line.
func (t *throttle) message() int { return max(throttleLeast, t.window/2) }
