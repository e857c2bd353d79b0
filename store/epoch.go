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
	missing     uint64 // readings that this opening found damaged or missing behind Last, at most

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
func (o *Options) risk(d time.Duration) uint64 {
	return uint64(math.Ceil(o.Rate*d.Seconds())) + uint64(o.Burst)
}

// assumedCommit is how long a commit takes at most, until one took longer.
const assumedCommit = 2 * time.Second

// interrupt makes an epoch that a crash found growing an open-ended one.
func (e *epoch) interrupt(now gateway.Anchor, opened gateway.Stamp) {
	e.Growth, e.interrupted = gateway.OpenEnded, true
	e.Known = max(e.Known, e.Last, e.Acked)
	if e.Anchor.Boot == now.Boot {
		e.EndAt = opened
	}
}

// locate finds out when an interrupted epoch had ended at the latest, once
// wall time is known: before this boot began.
func (e *epoch) locate(now gateway.Anchor) {
	known := e.Anchor.Quality != gateway.ClockNone && now.Quality != gateway.ClockNone
	if e.EndAt != 0 || !known || e.Anchor.Boot == now.Boot {
		return
	}
	slack := max(e.Anchor.Error, 0) + max(now.Error, 0)
	e.EndAt = max(gateway.Stamp(now.Offset-e.Anchor.Offset).Add(slack), e.LastAt)
}

// ending is the epoch's end as the uplink sends it.
func (e *epoch) ending() *gateway.End {
	if e.Growth == gateway.Closed {
		return &gateway.End{Closed: true, Last: e.Last}
	}
	end := &gateway.End{Why: gateway.WhyUncleanStop, AtMost: e.AtMost, T0: e.LastAt, T1: e.EndAt, Anchor: e.Anchor}
	if e.Lost > 0 {
		end.Why, end.AtMost = gateway.WhyUnknown, e.AtMost+e.Lost
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
