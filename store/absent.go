package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

// A store whose folder, lock, log/ or state.db cannot be used now is absent:
// its readings get names and wait in RAM, and go to the cloud from there.
// Opening it is tried again with every flush; then what is in RAM follows what
// is on the card.

// newStore gives a store that has read nothing yet.
func newStore(o Options) *Store {
	s := &Store{
		o: o, start: time.Now(), epochs: map[gateway.EpochID]*epoch{}, commands: map[string]gateway.CommandRecord{},
		disk: disk{card: o.Card},
		enc:  block.NewEncoder(), dec: block.NewDecoder(),
		counting: map[*gateway.Channel]bool{},
		wake:     make(chan struct{}, 1), closed: make(chan struct{}),
	}
	s.disk.hung = s.cardHangs
	s.state = state{path: filepath.Join(o.Dir, "state.db"), disk: &s.disk, room: stateRoom, verify: o.VerifyState, readOnly: o.readOnly}
	if o.MaxSize > 0 {
		s.state.room = min(stateRoom, o.MaxSize/stateShare)
	}
	s.shelf.dir, s.shelf.disk = filepath.Join(o.Dir, "log"), &s.disk
	s.journal = journal{path: filepath.Join(o.Dir, "journal"), disk: &s.disk}
	return s
}

// Absent is why the store could not be opened yet; nil if it is open.
func (s *Store) Absent() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent
}

func (s *Store) setAbsent(cause error) {
	s.mu.Lock()
	s.absent = cause
	s.mu.Unlock()
	s.reportAbsent(cause)
}

// reportAbsent says what keeps the store from being opened.
func (s *Store) reportAbsent(cause error) {
	s.o.Conditions.Raise(ConditionUnreadable, s.o.Dir, health.Error, fmt.Sprintf(
		"The store in %s cannot be opened: %s. Nothing in it is discarded. "+
			"Sampling and sending go on from memory, the newest %d readings are kept, and a power cut costs those that were not sent; "+
			"opening it is tried again, without a restart.",
		s.o.Dir, files.Explain(s.o.Dir, cause), headMax))
}

// openAgain opens a store that was absent. The caller holds writeMu.
func (s *Store) openAgain() error {
	if s.absent == nil {
		return nil
	}
	found, err := openOnCard(s.o)
	if err != nil {
		s.setAbsent(err)
		return err
	}
	s.takeOver(found)
	s.reportFloor()
	s.reportWhere()
	s.o.Conditions.Clear(ConditionUnreadable, s.o.Dir, "The store is open: readings are written to the card, and what waits "+
		"there is sent.")
	return nil
}

// openBesideAbsent makes the store in side/ this one's, at an orderly stop: what
// is in RAM alone is kept there until the store can be opened.
func (s *Store) openBesideAbsent() error {
	found, err := openBeside(s.o)
	if err != nil {
		found.putDown()
		return errors.Join(s.absent, err)
	}
	s.takeOver(found)
	return nil
}

// takeOver makes what was found on the card this store's, and puts this
// opening's epoch behind it. Nothing of the epoch is on the card yet, so it may
// still get its ordinal.
func (s *Store) takeOver(found *Store) {
	s.mu.Lock()
	s.shelf.mu.Lock()
	s.shelf.dir, s.shelf.open = found.shelf.dir, found.shelf.open
	s.shelf.mu.Unlock()
	s.lock, s.outer = found.lock, found.outer
	s.state, s.journal = found.state, found.journal
	s.state.disk, s.journal.disk = &s.disk, &s.disk
	s.unread, s.volumes, s.nextVolume = found.unread, found.volumes, found.nextVolume
	s.recovered, s.stateLost, s.stateOld, s.unclean = found.recovered, found.stateLost, found.stateOld, found.unclean
	s.beside, s.commands, s.besideEvents = found.beside, found.commands, found.besideEvents
	totals := s.facts.Totals
	s.takeOverFacts(found.facts)
	g := s.growing
	g.ordinal, g.Volume = found.nextOrdinal(), found.nextVolume
	s.order, s.epochs = append(found.order, g), found.epochs
	s.epochs[g.ID] = g
	s.takeOverTotals(totals)
	s.firstOrdinal = found.firstOrdinal
	s.takeOverEvents(found.lane)
	s.absent, s.sweep, s.cardSize = nil, true, found.cardSize
	s.noteOpening()
	s.mu.Unlock()
	s.noteOpeningEvents()
}

// takeOverFacts keeps what this run learned meanwhile.
func (s *Store) takeOverFacts(found facts) {
	mine := s.facts
	s.facts = found
	if mine.CloudTime.After(found.CloudTime) {
		s.facts.CloudTime = mine.CloudTime
	}
	if mine.Uplink != nil {
		s.facts.Uplink = mine.Uplink
	}
	if s.session > 0 {
		s.facts.EventsAcked = mine.EventsAcked
	}
}

// takeOverEvents puts this run's events behind those on the card. Events are
// sent in the order of the lane, and an ack of one is an ack of all before it:
// where some of this run may have left already, those of the card that the
// cloud lacks become events of this run, behind them.
func (s *Store) takeOverEvents(found lane) {
	l := &s.lane
	l.ordinal = s.growing.ordinal
	for _, h := range l.held {
		h.ordinal = l.ordinal
	}
	waiting := found.held[found.acked:]
	sent := l.held
	l.held = append(slices.Clone(found.held[:found.acked]), sent...)
	switch {
	case s.session == 0:
		l.held, l.acked = append(slices.Clone(found.held), sent...), found.acked
	default:
		l.acked += found.acked
		for _, h := range waiting {
			l.gone = append(l.gone, h.key())
			l.last++
			h.Name, h.ordinal, h.saved = gateway.Name{Epoch: l.id, Seq: l.last}, l.ordinal, false
			l.held = append(l.held, h)
		}
	}
	l.bytes += found.bytes
	l.gone = append(l.gone, found.gone...)
}
