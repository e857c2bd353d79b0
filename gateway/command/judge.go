package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/fieldgate/fieldgate/gateway"
)

// named checks that a command has what it is known by.
func named(c gateway.Command) error {
	for what, name := range map[string]string{"id": c.ID, "device_id": c.Device, "action": c.Action} {
		if !gateway.ValidID(name) {
			return fmt.Errorf("%s is %.40q, must be 1 to 64 of A-Z a-z 0-9 _ -", what, name)
		}
	}
	return nil
}

// check says why a command can never act here, whatever the time.
func (d *Dispatcher) check(e *entry) error {
	switch {
	case e.Value != nil && (math.IsNaN(*e.Value) || math.IsInf(*e.Value, 0)):
		return errors.New("value is not a finite number")
	case len(e.Args) > maxArgs:
		return fmt.Errorf("args have %d bytes, at most %d are allowed", len(e.Args), maxArgs)
	case len(e.Args) > 0 && !json.Valid(e.Args):
		return errors.New("args are not JSON")
	case e.TTL > maxTTL:
		return fmt.Errorf("ttl is %v, at most %v is allowed", e.TTL, maxTTL)
	case e.Lease < 0:
		return fmt.Errorf("lease is %v", e.Lease)
	}
	return d.o.Executor.Check(e.Command)
}

// forgotten tells whether a command that has no record may have had one: its
// sender sent it before, and either would never do so to have it act, or the
// records of this gateway were lost.
func (d *Dispatcher) forgotten(e *entry) bool {
	return e.Again && (e.Once || e.TTL <= 0 || d.o.Records.StateLost())
}

// expired judges by the clock that never jumps, and by the wall clock where
// it is known.
func (d *Dispatcher) expired(e *entry) bool {
	now := d.o.Clock.Stamp()
	if now >= e.expiry {
		return true
	}
	a := d.o.Clock.Anchor()
	return !e.Expires.IsZero() && a.Quality >= gateway.ClockSession && !a.Wall(now).Before(e.Expires)
}

// revive judges a command that was received in an earlier boot. Until the
// time is known it is neither expired nor proven to be not.
func (d *Dispatcher) revive(e *entry) (proven, expired bool) {
	now, a := d.o.Clock.Stamp(), d.o.Clock.Anchor()
	end := e.Expires
	if e.anchor.Quality >= gateway.ClockSession {
		if t := e.anchor.Wall(e.received).Add(min(e.TTL, maxTTL) - e.anchor.Error); end.IsZero() || t.Before(end) {
			end = t
		}
	}
	switch {
	case end.IsZero(), now >= gateway.Stamp(0).Add(e.TTL): // it was received before this boot began
		return false, true
	case a.Quality < gateway.ClockSession:
		return false, false
	}
	left := end.Sub(a.Wall(now)) - a.Error
	e.expiry = min(now.Add(left), gateway.Stamp(0).Add(e.TTL)) // a far Expires does not lengthen the TTL
	return left > 0, left <= 0
}
