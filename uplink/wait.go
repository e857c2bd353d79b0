package uplink

import (
	"context"
	"math/rand/v2"
	"slices"
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

// A pause is the time between two tries.
type pause struct {
	length  time.Duration
	least   time.Duration // what the server asked for: Wake does not cut it
	refused bool          // the credential was: Wake cuts nothing, another credential does
}

// pauseAfter gives how long to wait before the next try, and chooses its
// address. What the server asks for is a minimum, with the jitter on top: many
// were asked the same.
func (u *Uplink) pauseAfter(t trouble, r result) pause {
	if r.drain != nil {
		return u.afterDrain(r)
	}
	least := min(t.after, hintMax)
	p := pause{least + u.chosen(t, r), least, t.wait == waitAuth}
	if t.wait == waitCredential || len(u.points) == 1 && u.endpoint == u.points[0] {
		return p
	}
	if t.here {
		u.endpoint.until, u.endpoint.refused = time.Now().Add(p.length), p.refused
		p = pause{length: u.backOff()}
	}
	u.turn(r.lasted >= provenAfter)
	if wait := time.Until(u.endpoint.until); wait > 0 { // all want to be left alone
		p = pause{wait, wait, u.endpoint.refused}
	}
	return p
}

// afterDrain waits as long as the cloud asked, and goes where it said.
func (u *Uplink) afterDrain(r result) pause {
	d := r.drain
	least := min(max(0, d.after), hintMax)
	u.expected = time.Now().Add(max(least+min(d.spread, hintMax), r.spread))
	u.turn(true)
	u.redirect(d)
	wait := jitter(min(d.spread, hintMax))
	if !r.proven() { // one that drains whoever comes is not well
		wait = max(wait, u.backOff())
	}
	return pause{length: least + wait, least: least}
}

// chosen is the part of a pause that the gateway itself decides.
func (u *Uplink) chosen(t trouble, r result) time.Duration {
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
		u.expected = time.Now().Add(r.spread)
	}
	// The longer one, not the sum: a fleet is to be back within the spread. Who
	// comes before the cloud is there again draws anew from what is left of it,
	// or all of these would come in the second after its start.
	return max(pause, jitter(time.Until(u.expected)))
}

func (u *Uplink) backOff() time.Duration {
	limit := min(backOffMax, backOffBase<<u.tries)
	if limit < backOffMax {
		u.tries++
	}
	return jitter(limit)
}

// Wake ends the present pause between two tries, because something changed
// that may make the next one succeed: a network interface came up. A pause
// that the server asked for is kept to its minimum, one after a refused
// credential in full. The back-off goes on counting, so the pause after the
// next failure is no shorter for it; without a pause Wake does nothing. It may
// be called from any goroutine and does not wait.
func (u *Uplink) Wake() {
	select {
	case u.woken <- struct{}{}:
	default: // woken already
	}
}

// rest waits out a pause and reports whether to go on. After the cloud refused
// a credential it also looks whether there is another one by now.
func (u *Uplink) rest(ctx context.Context, p pause) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case <-u.woken: // meant a pause that is over
	default:
	}
	began := time.Now()
	u.nextTry(began.Add(p.length))
	timer := time.NewTimer(p.length)
	defer timer.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-u.woken:
			if !p.refused {
				timer.Reset(time.Until(began.Add(p.least)))
				u.nextTry(began.Add(p.least))
			}
		case <-look.C:
			if p.refused && u.renewed() {
				return true
			}
		}
	}
}

func (u *Uplink) nextTry(at time.Time) {
	u.set(func(s *Status) {
		if s.State == Off {
			s.State = Waiting
		}
		s.NextTry = at
	})
}

// renewed reports whether there is another credential than those refused.
func (u *Uplink) renewed() bool {
	shown, err := u.credential()
	return err == nil && !slices.ContainsFunc(u.denied, shown.same)
}
