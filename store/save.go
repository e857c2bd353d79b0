package store

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
)

// saveState makes epochs, acks and facts durable. The caller holds writeMu.
func (s *Store) saveState() error { return s.saveStateAnd(nil) }

// saveStateAnd does more in the same transaction. The events that wait go with
// it.
func (s *Store) saveStateAnd(also func(*bbolt.Tx) error) error {
	if s.absent != nil {
		return s.absent // a new state.db would take the place of the one that is there
	}
	// A copy of all that is to be saved, taken at one instant: what changes
	// meanwhile is saved the next time.
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
	f.Totals = s.totalsLocked()
	events, wroteEvents := s.unsavedLocked(!s.state.known)
	commands := maps.Clone(s.commands)
	s.mu.Unlock()
	more := []func(*bbolt.Tx) error{events, also}
	if !s.state.known {
		more = slices.Insert(more, 0, func(tx *bbolt.Tx) error { return putCommands(tx, commands) })
	}
	// One transaction. If power dies in it, the file has all of this or nothing:
	// an ack or an event then counts as it did before, and comes once more.
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
	// Only now it counts as saved: an event whose write failed stays marked
	// volatile, although it may be on the card.
	s.savedAt = time.Since(s.start)
	s.stateHadRoom()
	if wrote {
		s.mu.Lock()
		wroteEvents()
		s.metrics.commits++
		s.mu.Unlock()
		s.measureBeside()
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
	// 1. The journal is there before the first state.db is: so one that is
	// missing was lost. If power dies here, the next opening finds it empty.
	if err := s.journal.ready(); err != nil && !isNoJournal(err) {
		return err
	}
	// 2. The entry. If power dies here, an epoch is found growing that has no
	// readings.
	if err := s.saveState(); isNoRoom(err) {
		s.stateRefused(err) // the mark stands for the entry until there is room
		if s.journal.marked == s.growing.ordinal {
			return nil
		}
	} else if err != nil {
		return err
	}
	// 3. The mark. If power dies here, state.db is merely newer than the mark;
	// the other way round it would be taken for an older copy.
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
	return s.writeMark(m)
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
	return s.writeMark(m)
}

func (s *Store) writeMark(m mark) error {
	err := s.journal.writeMark(m)
	if isNoJournal(err) {
		return nil
	}
	return err
}
