package store

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// risk is how many readings can come in the given time, at most.
func (o *Options) risk(d time.Duration) uint64 { return risk(o.Rate, o.Burst, d) }

func risk(rate float64, burst int, d time.Duration) uint64 {
	n := math.Ceil(rate*d.Seconds()) + float64(burst)
	if n >= gateway.AtMostUnknown {
		return gateway.AtMostUnknown
	}
	return uint64(n)
}

// assumedCommit is how long a commit takes at most, until one took longer.
const assumedCommit = 2 * time.Second

// rated tells whether it is known how fast the epoch's readings came.
func (e *epoch) rated() bool { return e.Rate > 0 || e.Burst > 0 }

// interrupt makes an epoch that a crash found growing an open-ended one.
func (e *epoch) interrupt(now gateway.Anchor, opened gateway.Stamp) {
	e.Growth, e.interrupted = gateway.OpenEnded, true
	e.Known = max(e.Known, e.Last, e.Acked)
	if !e.rated() {
		e.AtMost = gateway.AtMostUnknown
	}
	if e.Anchor.Boot == now.Boot {
		e.EndAt, e.Sure = opened, true
	}
}

// stopShort ends an epoch whose last readings a stop in order could not write:
// there were counted in all.
func (e *epoch) stopShort(counted uint64, at gateway.Stamp) {
	e.Growth, e.Counted, e.EndAt, e.Sure = gateway.OpenEnded, counted, at, true
	e.Known = max(e.Known, e.Last, e.Acked)
}

// locate finds out when an interrupted epoch had ended at the latest, once
// wall time is known: before this boot began. Of clocks that nothing
// synchronised that is no more than likely.
func (e *epoch) locate(now gateway.Anchor) {
	known := e.Anchor.Quality != gateway.ClockNone && now.Quality != gateway.ClockNone
	sure := e.Anchor.Quality >= gateway.ClockSession && now.Quality >= gateway.ClockSession
	if e.Sure || e.EndAt != 0 && !sure || !known || e.Anchor.Boot == now.Boot {
		return
	}
	slack := max(e.Anchor.Error, 0) + max(now.Error, 0)
	e.EndAt = max(gateway.Stamp(now.Offset-e.Anchor.Offset).Add(slack), e.LastAt)
	e.Sure = sure
}

// lose notes that readings behind the last known were in a file that is lost,
// if the epoch's end is not known.
func (e *epoch) lose() {
	if e.Growth == gateway.Closed {
		return
	}
	e.Lost = max(e.Lost, 1)
	if !e.rated() {
		e.AtMost = gateway.AtMostUnknown
	}
}

// atMost bounds how many readings behind the last that is known are missing.
// While the card works that is what comes between two commits; but nobody can
// say that it worked to the end. So it is what can have come between the last
// reading on the card and the end, less what the cloud holds of that.
func (e *epoch) atMost() uint64 {
	held := max(e.Known, e.Last)
	switch {
	case e.Counted > 0:
		return e.Counted - min(e.Counted, held)
	case !e.rated(): // not known; or what an earlier version told
		return min(e.AtMost+e.Lost, gateway.AtMostUnknown)
	case !e.Sure:
		return gateway.AtMostUnknown
	}
	// of each channel one more may be stamped before the last on the card
	n := max(e.AtMost, risk(e.Rate, 2*e.Burst, max(0, e.EndAt.Sub(e.LastAt))))
	return n - min(n, held-e.Last)
}

// ending is the epoch's end as the uplink sends it.
func (e *epoch) ending() *gateway.End {
	if e.Growth == gateway.Closed {
		return &gateway.End{Closed: true, Last: e.Last}
	}
	end := &gateway.End{Why: gateway.WhyUncleanStop, AtMost: e.atMost(), T0: e.LastAt, T1: e.EndAt, Anchor: e.Anchor}
	switch {
	case e.Lost > 0:
		end.Why = gateway.WhyUnknown
	case e.Counted > 0:
		end.Why = gateway.WhyCardFailed
	}
	return end
}

// safeLocked is the last reading of the growing epoch that a power cut does
// not cost: it is on the card, or on the cloud's disk and not merely received.
func (s *Store) safeLocked() uint64 {
	if s.fsynced {
		return max(s.growing.Last, s.growing.Acked)
	}
	return s.growing.Last
}

// riskLocked counts what a power cut would have cost just before a write
// ended.
func (s *Store) riskLocked() {
	if safe, last := s.safeLocked(), s.growing.head.last; s.retry == 0 && last > safe {
		s.atRisk = max(s.atRisk, last-safe)
	}
}

// learnRisk saves what has to be known after a power cut, if the commit that
// just ended changed it: that a volume has readings now, and a higher bound on
// what a cut can cost, if more than the present one waited for the commit.
func (s *Store) learnRisk() error {
	s.mu.Lock()
	more := s.atRisk > max(s.growing.AtMost, s.o.risk(s.o.FlushInterval+assumedCommit))
	if more {
		s.growing.AtMost = s.atRisk + s.atRisk/4
	}
	more = more || s.unsaved
	s.mu.Unlock()
	if !more {
		return nil
	}
	err := s.saveState()
	switch {
	case err == nil:
		s.mu.Lock()
		s.unsaved = false
		s.mu.Unlock()
	case isNoRoom(err): // tried again with the next commit
		s.stateRefused(err)
		return nil
	}
	return err
}
