package store

import (
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// Session begins a session with the cloud, before the acks of its welcome are
// given to Ack: fsynced tells whether an ack means that readings are on the
// cloud's disk, retain how much later an ack must confirm another before what
// it covers may be discarded.
func (s *Store) Session(fsynced bool, retain time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session++
	s.fsynced, s.retain = fsynced, retain
	for _, e := range s.order {
		e.given = 0
	}
	s.wakeRun()
}

// Ack records that the cloud holds an epoch up to and including upto, and with
// done its end too. Acks may repeat; they may go back, and then the uplink
// starts there again. For an epoch that ended in a crash the cloud may hold
// more than the card. The error is ErrAckBeyond: the cloud claims readings
// that never were. An epoch that has been discarded needs no ack; nothing
// happens.
func (s *Store) Ack(id gateway.EpochID, upto uint64, done bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.epochs[id]
	if e == nil {
		return nil
	}
	last := s.lastLocked(e)
	if upto > last && e.Growth != gateway.OpenEnded {
		return fmt.Errorf("ack of epoch %v up to %d: %w, which is %d", id, upto, ErrAckBeyond, last)
	}
	if upto < e.Acked {
		s.wakeRun() // what is not acknowledged any more is due earlier
	}
	e.Acked = upto
	e.Done = done && e.Growth != gateway.Growing && upto >= e.Last
	if e.Growth == gateway.OpenEnded {
		e.Known = max(e.Known, upto)
	}
	if s.settling {
		s.flushedLocked() // who waits in Settle looks again
	}
	e.named(s.session, time.Since(s.start))
	s.confirmLocked()
	return nil
}

// named notes what an ack of this session says of the epoch.
func (e *epoch) named(session uint64, now time.Duration) {
	if e.session == 0 || e.Acked < e.pending || e.pendingDone && !e.Done {
		e.pending, e.pendingDone, e.ackedAt = e.Acked, e.Done, now
		e.confirmed = min(e.confirmed, e.Acked)
		e.confirmedDone = e.confirmedDone && e.Done
	}
	e.session = session
}

// confirmLocked lets an ack prove older ones: all records of a gateway are one
// chain in the cloud, so every ack of a session tells that whatever the cloud
// named in this session, and has not taken back, is still there.
func (s *Store) confirmLocked() {
	now := time.Since(s.start)
	for _, e := range s.order {
		if e.session != s.session || now-e.ackedAt < s.retain {
			continue
		}
		if e.pending > e.confirmed || e.pendingDone && !e.confirmedDone {
			s.sweep = true
			s.wakeRun()
		}
		e.confirmed, e.confirmedDone = e.pending, e.pendingDone
		e.pending, e.pendingDone, e.ackedAt = e.Acked, e.Done, now
	}
}
