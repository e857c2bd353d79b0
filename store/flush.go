package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	retryFirst = 500 * time.Millisecond // after a failed write; doubled up to
	retryMost  = 30 * time.Second
	idle       = time.Duration(math.MaxInt64)
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
	if h.len() >= blockReadings || s.figures.failing || s.ending != nil || s.settling && h.last > s.growing.Last {
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
	if err := s.openAgain(); err != nil {
		return err
	}
	if err := s.finishSplit(); err != nil {
		return err
	}
	if err := s.saveNewEpoch(); err != nil {
		return err
	}
	s.mu.Lock()
	e := s.growing
	n, upto := e.head.last-e.Last, e.head.last
	gap := e.head.first > e.Last+1
	s.mu.Unlock()
	if err := s.write(e, upto, s.recovered || gap || n >= blockReadings/4, !all && n >= blockReadings); err != nil {
		return err
	}
	if time.Since(s.start)-s.savedAt >= s.o.HistoryFlush || len(s.doomed) > 0 || s.eventsWait() {
		return s.saveBeside() // acks and the cloud's time ride along
	}
	return nil
}

// saveBeside saves what readings that are on the card do not depend on. That
// there is no room for it is told, and no error.
func (s *Store) saveBeside() error {
	err := s.saveState()
	if isNoRoom(err) {
		s.stateRefused(err)
		return nil
	}
	return err
}

// saveNewEpoch sees to it that the entry of this opening's epoch, and its mark
// in the journal, are durable before its first reading is.
func (s *Store) saveNewEpoch() error {
	if s.state.holds(s.growing.ordinal) {
		return nil
	}
	// The journal is there before the first state.db is: one that is missing was lost.
	if err := s.journal.ready(); err != nil && !isNoJournal(err) {
		return err
	}
	if err := s.saveState(); isNoRoom(err) {
		s.stateRefused(err) // the mark stands for the entry until there is room
		if s.journal.marked == s.growing.ordinal {
			return nil
		}
	} else if err != nil {
		return err
	}
	return s.markEpoch()
}

// markEpoch writes the present epoch into the journal. Without a journal
// volumes go on alone.
func (s *Store) markEpoch() error {
	s.mu.Lock()
	e := s.growing
	m := mark{
		ID: e.ID, Ordinal: e.ordinal, Opened: e.Opened, Anchor: e.Anchor, AtMost: e.AtMost, Rate: e.Rate, Burst: e.Burst,
		Alone: !s.state.holds(e.ordinal),
	}
	s.mu.Unlock()
	return s.tellMark(m)
}

// markEnd writes into the journal how the epoch ended, where there was no room
// to write it into state.db, as cause says.
func (s *Store) markEnd(cause error) error {
	s.mu.Lock()
	e := s.growing
	m := mark{
		ID: e.ID, Ordinal: e.ordinal, Opened: e.Opened, Anchor: e.Anchor, AtMost: e.AtMost, Rate: e.Rate, Burst: e.Burst, Alone: true,
		Closed: e.Growth == gateway.Closed, Counted: max(e.Counted, e.Last), EndAt: e.EndAt,
	}
	s.mu.Unlock()
	if s.journal.ready() != nil {
		return cause
	}
	return s.tellMark(m)
}

func (s *Store) tellMark(m mark) error {
	err := s.journal.tell(m)
	if isNoJournal(err) {
		return nil
	}
	return err
}

// safeLocked is the last reading of the growing epoch that a power cut does
// not cost: it is on the card, or on the cloud's disk and not merely received.
func (s *Store) safeLocked() uint64 {
	if s.fsynced {
		return max(s.growing.Last, s.growing.Acked)
	}
	return s.growing.Last
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

// saveState makes epochs, acks and facts durable. The caller holds writeMu.
func (s *Store) saveState() error { return s.saveStateAnd(nil) }

// saveStateAnd does more in the same transaction. The events that wait go with
// it.
func (s *Store) saveStateAnd(also func(*bbolt.Tx) error) error {
	if s.absent != nil {
		return s.absent // a new state.db would take the place of the one that is there
	}
	s.mu.Lock()
	switch {
	case s.unread.journal != nil: // what it holds still counts
	case len(s.journal.pieces) == 0:
		s.facts.Floor = s.journal.flush + 1
	default:
		s.facts.Floor = s.journal.lowest()
	}
	s.facts.Highest = s.nextVolume - 1
	f, entries := s.facts, make(map[uint64]entry, len(s.order))
	for _, e := range s.order {
		entries[e.ordinal] = e.entry
	}
	events, wroteEvents := s.unsavedLocked(!s.state.known)
	commands := maps.Clone(s.commands)
	s.mu.Unlock()
	more := []func(*bbolt.Tx) error{events, also}
	if !s.state.known {
		more = slices.Insert(more, 0, func(tx *bbolt.Tx) error { return putCommands(tx, commands) })
	}
	wrote, err := s.state.save(f, entries, more)
	if errors.Is(err, errDamaged) { // noticed only now: all of it is in RAM, for a new file
		s.quarantine(s.state.path, err)
		if _, gone := os.Stat(s.state.path); errors.Is(gone, fs.ErrNotExist) {
			return s.saveStateAnd(also)
		}
	}
	if err != nil {
		return err
	}
	s.savedAt = time.Since(s.start)
	s.stateTaken()
	if wrote {
		s.mu.Lock()
		wroteEvents()
		s.figures.commits++
		s.mu.Unlock()
		s.measureBeside()
	}
	return nil
}

// cardFailed tells that a write failed and puts the next one off.
func (s *Store) cardFailed(err error) {
	s.retry = min(max(2*s.retry, retryFirst), retryMost)
	s.mu.Lock()
	s.retryAt = time.Since(s.start) + s.retry
	s.failingLocked()
	s.mu.Unlock()
	s.wakeRun() // who failed need not be Run
	if s.absent != nil {
		return // that is told already
	}
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"Readings cannot be written to %s (%v). Sampling and sending go on from memory, the newest %d readings are kept; check the card and its free space.",
		s.o.Dir, err, headMax))
}

// cardHangs tells that a step takes long. Whoever takes it still waits; the
// head goes on in RAM.
func (s *Store) cardHangs(step Step) {
	s.mu.Lock()
	s.failingLocked()
	s.mu.Unlock()
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"A write to %s has not come back for %v. Sampling and sending go on from memory, the newest %d readings are kept; the card may be worn out, replace it if this comes back.",
		step.Path, hangs, headMax))
}

// failingLocked lets nobody wait for the card any more.
func (s *Store) failingLocked() {
	s.figures.failing = true
	s.flushedLocked()
}

// flushedLocked wakes those in Append who wait for the card.
func (s *Store) flushedLocked() {
	if s.flushed != nil {
		close(s.flushed)
		s.flushed = nil
	}
}

// cardWorks tells that writing goes well again.
func (s *Store) cardWorks() {
	s.mu.Lock()
	failed := s.figures.failing
	s.retryAt, s.figures.failing = 0, false
	s.mu.Unlock()
	s.retry = 0
	if failed {
		s.o.Conditions.Clear(ConditionCard, s.o.Dir, "Readings are written to the card again.")
	}
}

// awaitFlush waits until a reading of the growing epoch is on the card, or the
// card is failing, or the store closes.
func (s *Store) awaitFlush(e *epoch, seq uint64) {
	for {
		s.mu.Lock()
		if e.Last >= seq || s.figures.failing || s.ended {
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
	e.hold(anchor)
	return e.Anchor
}

// hold lets an epoch of this boot remember the anchor that holds from now on.
func (e *epoch) hold(now gateway.Anchor) {
	if e.Anchor.Boot != now.Boot {
		return
	}
	if e.Anchor.From != now.From || e.Anchor.Offset != now.Offset || e.Anchor.Quality != now.Quality {
		e.Earlier, _ = e.Earlier.With(e.Anchor)
	}
	e.Anchor = now
}
