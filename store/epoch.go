package store

import (
	"math"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// An epoch is an entry and where its readings are. Guarded by Store.mu.
type epoch struct {
	entry
	ordinal     uint64
	head        *head  // readings that are not on the card yet; nil unless this opening made it and it is not closed
	spans       []span // on the card, by first seq; an older copy of a reading may be in a later span
	hurt        bool   // this opening found the newest of its volumes damaged
	judged      bool   // what is missing of it is known
	interrupted bool   // this opening found it growing

	given uint64 // the highest reading that Next gave in this session

	// what must be seen before acknowledged readings may be given up
	session       uint64        // the session in which an ack last named the epoch; 0 none since the opening
	ackedAt       time.Duration // when the cloud first told pending, since the store's start
	pending       uint64        // told once; a later ack that has not gone back confirms it
	pendingDone   bool
	confirmed     uint64 // may be given up
	confirmedDone bool   // the end too
}

// A span is a run of an epoch's readings, or gaps, in one volume.
type span struct {
	first, last uint64
	volume      *volume
}

// insert adds a span in its place, or extends the last one of its volume.
func (e *epoch) insert(s span) {
	for i := range e.spans {
		if e.spans[i].volume == s.volume && e.spans[i].last+1 == s.first {
			e.spans[i].last = s.last
			return
		}
	}
	at := len(e.spans)
	for at > 0 && e.spans[at-1].first > s.first {
		at--
	}
	e.spans = slices.Insert(e.spans, at, s)
}

// remove takes out what was in a volume.
func (e *epoch) remove(v *volume) {
	e.spans = slices.DeleteFunc(e.spans, func(s span) bool { return s.volume == v })
}

// find gives the spans that contain seq, and the first seq behind it that is
// on the card (0 if none is).
func (e *epoch) find(seq uint64) (in []span, next uint64) {
	for _, s := range e.spans {
		if s.first <= seq && seq <= s.last {
			in = append(in, s)
		}
		if s.first > seq && (next == 0 || s.first < next) {
			next = s.first
		}
	}
	return in, next
}

// stored counts the readings that volumes hold, each once: a power cut while
// volumes were merged leaves them in both; and those of them that are thinned.
func (e *epoch) stored() (all, thinned uint64) {
	at := uint64(0)
	for _, s := range e.spans {
		if s.last <= at {
			continue
		}
		n := s.last - max(at, s.first-1)
		if at = s.last; s.volume.thinned {
			thinned += n
		}
		all += n
	}
	return all, thinned
}

// inVolumes is the last seq that a volume holds, 0 if none holds any.
func (e *epoch) inVolumes() (last uint64) {
	for _, s := range e.spans {
		last = max(last, s.last)
	}
	return last
}

// end is where the epoch ends: seq of the last reading or gap. Readings that
// the cloud has although the card never had them count.
func (e *epoch) end() uint64 { return max(e.Last, e.Known) }

// forgotten gives the range of names from seq on that the cloud once
// acknowledged and the gateway no longer has; n is 0 if there is none.
func (e *epoch) forgotten(seq uint64) gateway.Range {
	r := gateway.Range{Epoch: e.ID, First: seq}
	switch {
	case seq <= e.Forgotten:
		r.N = e.Forgotten + 1 - seq
	case seq > e.Last && seq <= e.Known:
		r.N = e.Known + 1 - seq
	}
	return r
}

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

// rated tells whether it is known how fast the epoch's readings came.
func (e *epoch) rated() bool { return e.Rate > 0 || e.Burst > 0 }

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

// toldLocked is what the uplink is told of an epoch.
func (s *Store) toldLocked(e *epoch) gateway.EpochState {
	last := s.lastLocked(e)
	oldest := last + 1
	switch own := s.journal.of(e.ordinal); {
	case s.heldBackLocked(e):
		oldest = min(last, max(e.Forgotten, e.Dropped)) + 1
	case len(e.spans) > 0:
		oldest = e.spans[0].first
	case len(own) > 0:
		oldest = own[0].First
	case e.head != nil:
		oldest = e.head.first
	}
	return gateway.EpochState{ID: e.ID, Boot: e.Anchor.Boot, Oldest: oldest, Last: last, Growth: e.Growth, Acked: e.Acked, Done: e.Done}
}
