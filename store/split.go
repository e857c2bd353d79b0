package store

import (
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

// Split ends the growing epoch and begins the next one, so that new readings
// need not wait behind a backlog. Append does not wait meanwhile: its readings
// get the new names at once, and what came under the old ones is committed
// before one commit says both that the old epoch is closed and that the new
// one is there. If the growing epoch has no reading yet, it stays. The error
// is that of the card, and then nothing is split, or ErrClosed.
func (s *Store) Split() (gateway.EpochID, error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.trySplit(); err != nil {
		return gateway.EpochID{}, fmt.Errorf("split epoch: %w", err)
	}
	if err := s.flush(true); err != nil {
		s.cardFailed(err) // the split stands; Run goes on trying to make it durable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.growing.ID, nil
}

// trySplit empties head and journal into a volume, if there is room for one,
// and switches over.
func (s *Store) trySplit() error {
	// 1. What there is goes to the card under the old names. If power dies here,
	// nothing was split.
	if err := s.flush(true); err != nil {
		s.cardFailed(err)
		return err
	}
	if err := s.toVolume(true); isNoRoom(err) {
		s.volumeRefused(err) // all of it is in the journal
	} else if err != nil {
		s.cardFailed(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrClosed
	}
	// 2. The switch, in RAM. If power dies here, the card knows only the old
	// epoch, found growing; what came since is in its open gap, or had new names,
	// which nothing uses again.
	if s.growing.head.last > 0 {
		s.ending = s.growing
		s.beginLocked()
	}
	return nil
}

// finishSplit commits what came under the old names until the switch, and
// closes their epoch. That it is closed is saved with the entry of its
// successor.
func (s *Store) finishSplit() error {
	e := s.ending
	if e == nil {
		return nil
	}
	err := s.epochToVolume(e, true)
	if isNoRoom(err) {
		s.mu.Lock()
		upto := s.lastLocked(e)
		s.mu.Unlock()
		s.volumeRefused(err)
		err = s.write(e, upto, false, false)
	}
	if err != nil {
		return err
	}
	// 3. That the old epoch is closed is true from here on, and durable with the
	// entry of the new one, in one commit. If power dies before that, the old
	// epoch is found growing and gets an open end, behind which nothing is missing.
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Growth, e.head = gateway.Closed, nil
	s.ending = nil
	s.arrivedLocked() // who waits for the next reading of the old epoch finds its end
	return nil
}
