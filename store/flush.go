package store

import (
	"fmt"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

const (
	firstRetryWait = 500 * time.Millisecond // after a failed write; doubled up to
	maxRetryWait   = 30 * time.Second
	idle           = time.Duration(math.MaxInt64)
)

// work does what is due on the card.
func (s *Store) work() {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.untilDue() <= 0 {
		if err := s.flush(false); err != nil {
			s.cardFailed(err)
		} else {
			s.cardWorks()
		}
	}
	s.reread()
	s.forgetWhatMay() // a full card too: that makes the room
}

// Flush makes what is in the head durable now, whether it is due or not.
func (s *Store) Flush() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.flush(true); err != nil {
		s.cardFailed(err)
		return fmt.Errorf("flush: %w", err)
	}
	s.cardWorks()
	return nil
}

// untilDue is how long until the next flush.
func (s *Store) untilDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.start)
	due := s.dueLocked(now)
	if due == idle {
		return idle
	}
	return max(due, s.retryAt) - now
}

// dueLocked says when the head is to be flushed. The oldest reading that the
// cloud has not acknowledged counts, and only at level fsynced does an ack
// give the longer time.
func (s *Store) dueLocked(now time.Duration) time.Duration {
	h := s.growing.head
	if h.len() >= blockReadings || s.metrics.failing || s.ending != nil || s.settling && h.last > s.growing.Last {
		return now
	}
	due := idle
	if s.recovered {
		due = max(now, s.volumeAt)
	}
	if h.last == s.growing.Last {
		return due
	}
	due = min(due, h.get(h.first).came+s.o.HistoryFlush)
	unacked := max(h.first, s.safeLocked()+1)
	if unacked <= h.last {
		due = min(due, h.get(unacked).came+s.o.FlushInterval)
	}
	return due
}

// flush makes durable what is in the head now: a little in the journal, much,
// and what has a gap in it, in a volume. If there is enough for whole blocks
// and not all is asked for, the rest waits until it is due. The caller holds
// writeMu.
func (s *Store) flush(all bool) error {
	// 1. A store that could not be opened is opened; else everything stays in RAM.
	if err := s.openAgain(); err != nil {
		return err
	}
	// 2. What came under the names of an epoch that was split off, before
	// anything of its successor: so the order on the card is that of the names.
	if err := s.finishSplit(); err != nil {
		return err
	}
	// 3. The entry of the epoch before its first reading. If power dies between,
	// an epoch is known that has no readings; never the other way round.
	if err := s.saveNewEpoch(); err != nil {
		return err
	}
	// 4. What was noted before them. If power dies behind this, an event tells of
	// what a total lacks that was not stored; never the other way round. A
	// state.db that takes nothing does not keep the readings out.
	if s.eventsWait() {
		_ = s.saveBeside() // step 6 tries it again, and tells
	}
	// 5. The readings. If power dies before the sync, they are in the open gap.
	s.mu.Lock()
	e := s.growing
	n, upto := e.head.last-e.Last, e.head.last
	gap := e.head.first > e.Last+1
	s.mu.Unlock()
	if err := s.write(e, upto, s.recovered || gap || n >= blockReadings/4, !all && n >= blockReadings); err != nil {
		return err
	}
	if time.Since(s.start)-s.savedAt >= s.o.HistoryFlush || len(s.doomed) > 0 || s.eventsWait() {
		// 6. Acks and the cloud's time. If power dies before, the cloud is asked
		// again, and tells.
		return s.saveBeside()
	}
	return nil
}

// flushedLocked wakes those in Append who wait for the card.
func (s *Store) flushedLocked() {
	if s.flushed != nil {
		close(s.flushed)
		s.flushed = nil
	}
}

// awaitFlush waits until a reading of the growing epoch is on the card, or the
// card is failing, or the store closes.
func (s *Store) awaitFlush(e *epoch, seq uint64) {
	for {
		s.mu.Lock()
		if e.Last >= seq || s.metrics.failing || s.ended {
			s.mu.Unlock()
			return
		}
		if s.flushed == nil {
			s.flushed = make(chan struct{})
		}
		wait := s.flushed
		s.mu.Unlock()
		s.wakeRun()
		<-wait
	}
}

// anchored gives the anchor that holds now and lets the epoch remember it, and
// the one before.
func (s *Store) anchored(e *epoch) gateway.Anchor {
	anchor := s.o.Clock.Anchor()
	s.mu.Lock()
	defer s.mu.Unlock()
	e.remember(anchor)
	return e.Anchor
}

// remember lets an epoch of this boot remember the anchor that holds from now
// on.
func (e *epoch) remember(now gateway.Anchor) {
	if e.Anchor.Boot != now.Boot {
		return
	}
	if e.Anchor.From != now.From || e.Anchor.Offset != now.Offset || e.Anchor.Quality != now.Quality {
		e.Earlier, _ = e.Earlier.With(e.Anchor)
	}
	e.Anchor = now
}
