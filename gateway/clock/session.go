package clock

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	driftPPM    = 100                   // of a board's oscillator, at most
	sessionStep = 50 * time.Millisecond // smaller differences between two answers move nothing
	jumpSize    = time.Second           // between two answers of the cloud; more is not believed at once
	jumpsAgree  = 3                     // answers in a row after which it is
)

// A sessionTime is the cloud's clock, as the uplink's time exchange sees it.
type sessionTime struct {
	known  bool
	offset int64         // µs: wall time minus BOOTTIME
	error  time.Duration // bound on the error of offset when it was learned
	at     gateway.Stamp

	jumped int   // answers in a row that say another time …
	other  int64 // … namely this
}

// bound is the error now: what it was, and what the oscillator added.
func (s *sessionTime) bound(now gateway.Stamp) time.Duration {
	return s.error + time.Duration(int64(now-s.at)*driftPPM/1_000_000)*time.Microsecond
}

// SessionTime takes an answer of the cloud's clock: wall time is BOOTTIME plus
// offset (µs), give or take bound. It is used while the system clock is not
// synchronised. One that differs little from the one before only confirms it,
// so that not every answer makes another anchor. An answer that jumps by more than a second is believed
// once three in a row agree.
func (c *Clock) SessionTime(offset int64, bound time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.src.stamp()
	s := &c.session
	apart := time.Duration(offset-s.offset) * time.Microsecond
	if s.known && apart.Abs() > jumpSize+bound {
		if s.jumped == 0 || (time.Duration(offset-s.other)*time.Microsecond).Abs() > jumpSize {
			s.jumped = 0
		}
		s.other = offset
		if s.jumped++; s.jumped < jumpsAgree {
			return
		}
	}
	s.jumped = 0
	if s.known && apart.Abs() <= sessionStep {
		if fresh := apart.Abs() + bound; fresh < s.bound(now) {
			s.error, s.at = fresh, now
		}
		return
	}
	*s = sessionTime{known: true, offset: offset, error: bound, at: now}
	c.again = 0 // look anew
}

// Watch calls tell with every anchor that replaces another, until ctx is done.
func (c *Clock) Watch(ctx context.Context, tell func(now, before gateway.Anchor)) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	before := c.Anchor()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := c.Anchor()
		if now.From != before.From || now.Offset != before.Offset || now.Quality != before.Quality {
			tell(now, before)
			before = now
		}
	}
}
