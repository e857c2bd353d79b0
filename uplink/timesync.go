package uplink

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	burstPings = 4
	syncKept   = 8
	driftPPM   = 100 // of a board's oscillator, at most
)

// A timesync learns the cloud's clock from pings. Of the last samples the one
// with the smallest bound on its error counts.
type timesync struct {
	sent    []gateway.Stamp // pings without pong yet
	samples []timeSample
	until   time.Time // the cloud's time is before
	doubted bool      // it was not; told once
}

type timeSample struct {
	at     gateway.Stamp
	delay  int64 // µs, there and back
	offset int64 // µs, the cloud's wall time minus BOOTTIME
}

// burst sends the first pings ahead of all data, so that no queue bends them.
func (s *session) burst() {
	for range burstPings {
		s.heartbeat()
	}
}

func (t *timesync) ping(now gateway.Stamp) *wire.Ping {
	if len(t.sent) == syncKept {
		t.sent = t.sent[1:]
	}
	t.sent = append(t.sent, now)
	return &wire.Ping{T0: int64(now)}
}

// pong answers the cloud's ping with this board's wall time.
func (t *timesync) pong(c Clock, m *wire.Ping, at gateway.Stamp) *wire.Pong {
	a := c.Anchor()
	return &wire.Pong{T0: m.T0, T1: a.Wall(at).UnixMicro(), T2: a.Wall(c.Stamp()).UnixMicro()}
}

// sample takes the answer to one of our pings, and ignores any other.
func (t *timesync) sample(u *Uplink, m *wire.Pong, at gateway.Stamp) (delay time.Duration, ours bool) {
	t0 := gateway.Stamp(m.T0)
	for i, sent := range t.sent {
		if sent == t0 {
			t.sent = append(t.sent[:i], t.sent[i+1:]...)
			ours = true
			break
		}
	}
	us := int64(at-t0) - (m.T2 - m.T1)
	if !ours || us < 0 || m.T2 < m.T1 || !t.possible(u, m.T1, m.T2) {
		return 0, false
	}
	if len(t.samples) == syncKept {
		t.samples = t.samples[1:]
	}
	t.samples = append(t.samples, timeSample{at, us, ((m.T1 - m.T0) + (m.T2 - int64(at))) / 2})
	clock := t.best(at)
	if u.o.SessionTime != nil {
		u.o.SessionTime(clock.Offset, time.Duration(clock.Error)*time.Microsecond)
	}
	u.set(func(s *Status) { s.RTTMS, s.Clock = float64(us)/1000, &clock })
	t.take(u, m.T2)
	return time.Duration(us) * time.Microsecond, true
}

// best weighs the samples by their delay and their age.
func (t *timesync) best(now gateway.Stamp) CloudTime {
	var best CloudTime
	for i, s := range t.samples {
		bound := s.delay/2 + int64(now-s.at)*driftPPM/1_000_000
		if i == 0 || bound < best.Error {
			best = CloudTime{Offset: s.offset, Error: bound}
		}
	}
	return best
}

// take passes on the cloud's time for the floor of the clock. It came over a
// verified connection, but a time behind the end of that connection's own
// certificate cannot be: as a floor it would let no certificate pass again.
func (t *timesync) take(u *Uplink, micros int64) {
	if u.o.CloudTime != nil && micros > 0 && !time.UnixMicro(micros).After(t.until) {
		u.o.CloudTime(time.UnixMicro(micros))
	}
}

// possible tells whether the cloud's clock can be right: it has passed 1970,
// and the certificate that it shows has not ended. Believed, a time behind that
// end would let no certificate of the cloud pass for the rest of this boot.
func (t *timesync) possible(u *Uplink, began, ended int64) bool {
	if began > 0 && !time.UnixMicro(ended).After(t.until) {
		return true
	}
	if !t.doubted {
		t.doubted = true
		u.o.Log.Warn("the clock of the cloud cannot be right, so its time is not used: set the clock of the server",
			"endpoint", u.shown, "says", time.UnixMicro(ended).UTC().Format(time.DateTime), "certificate_ends", t.until.UTC().Format(time.DateTime))
	}
	return false
}
