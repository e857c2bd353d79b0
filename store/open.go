package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
)

// Open opens the store in o.Dir, making it if it is not there, and begins a
// new epoch. Damaged files are no error: they go to quarantine. Nor is a card
// that takes no writes: the head keeps what comes, and writing is tried again.
// Nor are files that cannot be read, or a folder that cannot be used: what they
// hold is kept, and they are tried again (Absent, ErrUnreadable). Nor is a
// store that a later version of fieldgate wrote: it is left alone, and this
// opening writes another one beside it, in side/. The error is ErrLocked,
// ErrVersion, or that of the options.
func Open(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if o.Card == nil {
		o.Card = soundCard{}
	}
	s, err := openOnCard(o)
	if errors.Is(err, ErrLocked) || errors.Is(err, ErrVersion) {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err != nil {
		s = newStore(o)
		s.facts = facts{Version: stateVersion, Install: gateway.NewEpochID().String()}
		if len(o.Totals) > 0 {
			s.facts.Totals = &totals{}
		}
		s.beginLocked() // nobody else knows of s yet
		s.setAbsent(err)
		s.cardFailed(err)
		return s, nil
	}
	s.reportWhere()
	s.begin()
	return s, nil
}

// openOnCard opens the store, or the one beside it, but begins no epoch.
func openOnCard(o Options) (*Store, error) {
	s, err := open(o)
	if errors.Is(err, ErrVersion) {
		s, err = openSide(s, err)
	} else if err == nil {
		s, err = s.withSide()
	}
	if err != nil {
		s.putDown()
		return nil, err
	}
	return s, nil
}

// putDown leaves a store that could not be opened: what it has open would keep
// the next try out.
func (s *Store) putDown() {
	s.shelf.closeAll()
	_ = s.state.close() // it was only read
	s.unlock()
}

// open takes the lock and reads what is there.
func open(o Options) (*Store, error) {
	s := newStore(o)
	if err := s.prepare(); err != nil {
		return s, err
	}
	s.reportFloor()
	return s, s.recover()
}

// prepare makes the folder, if it is missing, and locks it.
func (s *Store) prepare() error {
	if s.o.readOnly {
		return s.prepareToLook()
	}
	if err := os.MkdirAll(s.shelf.dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(s.o.Dir)
	s.lock = lock
	return err
}

// prepareToLook shares the lock with others who look, if it is there at all.
func (s *Store) prepareToLook() error {
	if _, err := os.Stat(s.shelf.dir); err != nil {
		return fmt.Errorf("there is no store in %s: %w", s.o.Dir, err)
	}
	lock, err := os.Open(filepath.Join(s.o.Dir, "lock"))
	if err != nil {
		return nil // a copy may have none
	}
	s.lock = lock
	return flock(lock, unix.LOCK_SH)
}

// begin starts this opening's epoch. Its entry is committed before its first
// reading is stored; if the card takes no writes now, the first flush tries
// again.
func (s *Store) begin() {
	s.mu.Lock()
	s.noteOpening()
	s.beginLocked()
	s.mu.Unlock()
	s.noteOpeningEvents()
	if err := s.saveNewEpoch(); err != nil {
		s.cardFailed(err)
	}
}

// noteOpeningEvents adds the events of an opening. They are written with the entry
// of its epoch.
func (s *Store) noteOpeningEvents() {
	s.nameBesideEvents()
	s.reportLastRun()
	body, err := json.Marshal(map[string]any{"unclean": s.unclean})
	if err == nil {
		s.placeEvent(gateway.Event{Kind: gateway.EventBoot, Body: body})
	}
	if s.StateLost() {
		s.placeEvent(gateway.Event{Kind: gateway.EventStateLost})
	}
}

// nextOrdinal is the ordinal of the next epoch.
func (s *Store) nextOrdinal() uint64 {
	ordinal := s.firstOrdinal + 1
	if n := len(s.order); n > 0 {
		ordinal = max(ordinal, s.order[n-1].ordinal+1)
	}
	return ordinal
}

// beginLocked makes the next epoch the growing one.
func (s *Store) beginLocked() {
	volume := s.nextVolume
	if s.current != nil {
		volume = s.current.number // a split: it goes on
	}
	e := &epoch{ordinal: s.nextOrdinal(), head: &head{first: 1}, entry: entry{
		ID: gateway.NewEpochID(), Opened: s.o.Clock.Stamp(), Anchor: s.o.Clock.Anchor(),
		Volume: volume, Rate: s.o.Rate, Burst: s.o.Burst,
	}}
	e.LastAt = e.Opened
	if s.growing == nil {
		s.lane.id, s.lane.ordinal = e.ID, e.ordinal
	}
	s.growing = e
	s.order = append(s.order, e)
	s.epochs[e.ID] = e
}
