package uplink

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	backOffBase = time.Second
	backOffMax  = 5 * time.Minute
	lookAgain   = 10 * time.Second // for a credential
	hintMax     = time.Hour        // what a server may ask for, at most
)

// The ways to wait after a failure: those of wire, and one of our own.
const (
	waitBackOff    = wire.WaitBackOff
	waitAuth       = wire.WaitAuth
	waitCredential = wire.Wait(255) // there is nothing to show to the cloud yet
)

// jitter gives any duration up to limit, all equally likely ("full jitter"):
// what failed together shall not come back together.
func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

// pauseAfter gives how long to wait before the next try. What the server asks
// for is a minimum, with the jitter on top: many were asked the same.
func (u *Uplink) pauseAfter(t trouble, r result) time.Duration {
	var pause time.Duration
	switch t.wait {
	case waitCredential:
		return lookAgain
	case waitAuth:
		pause = 5*time.Minute + jitter(55*time.Minute)
	case wire.WaitTakeover:
		pause = 30*time.Second + jitter(30*time.Second)
	case wire.WaitSlow:
		pause = time.Minute + u.backOff()
	default:
		pause = u.backOff()
	}
	if !r.ready.IsZero() {
		pause += jitter(r.spread)
	}
	return pause + min(t.after, hintMax)
}

func (u *Uplink) backOff() time.Duration {
	limit := min(backOffMax, backOffBase<<u.tries)
	if limit < backOffMax {
		u.tries++
	}
	return jitter(limit)
}

// rest waits out a pause and reports whether to go on. After the cloud refused
// a credential it also looks whether there is another one by now.
func (u *Uplink) rest(ctx context.Context, pause time.Duration, refused bool) bool {
	if ctx.Err() != nil {
		return false
	}
	u.set(func(s *Status) {
		if s.State == Off {
			s.State = Waiting
		}
		s.NextTry = time.Now().Add(pause)
	})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-look.C:
			if token, err := u.credential(); refused && err == nil && token != u.token {
				return true
			}
		}
	}
}
