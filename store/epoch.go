package store

import (
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

	// what must be seen before acknowledged readings may be discarded
	session       uint64        // the session in which an ack last named the epoch; 0 none since the opening
	ackedAt       time.Duration // when the cloud first told pending, since the store's start
	pending       uint64        // told once; a later ack that has not gone back confirms it
	pendingDone   bool
	confirmed     uint64 // may be discarded
	confirmedDone bool   // the end too
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

// stateOfLocked is an epoch as the uplink sees it.
func (s *Store) stateOfLocked(e *epoch) gateway.EpochState {
	last := s.lastLocked(e)
	oldest := last + 1
	switch own := s.journal.of(e.ordinal); {
	case s.maybeUnreadLocked(e):
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
