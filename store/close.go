package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fieldgate/fieldgate/gateway"
)

// Settle makes what is in memory alone safe before a stop. It is due now, and
// where the card does not take it Settle waits until the cloud has
// acknowledged it, or ctx is done. It gives how many readings neither has.
func (s *Store) Settle(ctx context.Context) (left uint64) {
	s.mu.Lock()
	s.settling = true
	s.mu.Unlock()
	s.wakeRun()
	for {
		s.mu.Lock()
		left, events := s.unsettledLocked()
		if s.flushed == nil {
			s.flushed = make(chan struct{})
		}
		wait := s.flushed
		s.mu.Unlock()
		if left == 0 && !events {
			return 0
		}
		select {
		case <-ctx.Done():
			return left
		case <-s.closed:
			return left
		case <-wait:
		}
	}
}

// unsettledLocked counts the readings that neither the card nor the cloud has,
// and tells whether there are such events.
func (s *Store) unsettledLocked() (readings uint64, events bool) {
	for _, e := range s.order {
		if safe := max(e.Last, e.Acked); e.head != nil && e.head.last > safe {
			readings += e.head.last - safe
		}
	}
	for _, h := range s.lane.held[s.lane.acked:] {
		events = events || !h.saved
	}
	return readings, events
}

// Close ends the opening in good order: everything is committed and the epoch
// closed at its last reading. Then a power cut costs nothing. Where there is no
// room for a volume the journal takes what it can. What the card does not take
// is lost, unless the cloud has it: the error says how much that is at most,
// and the next opening tells of a gap.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	close(s.closed)
	s.flushedLocked()
	s.mu.Unlock()

	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	// 1. The readings. If power dies here, the epoch is found growing: those in
	// the head are in its open gap, and nothing else is lost.
	err := s.lastFlush()
	// 2. The volume's length. If power dies here, it is only longer than needed.
	s.sealCurrent()
	err = s.notStored(err)
	// 3. The end of the epoch. Until this commit a power cut makes the stop look
	// like a crash: the gap's bound is then more than the nothing that is lost.
	if s.absent == nil {
		err = errors.Join(err, s.saveEnd())
	}
	// 4. Nothing is written any more; the lock goes last.
	s.journal.close()
	s.shelf.closeAll()
	err = errors.Join(err, s.state.close())
	s.unlock()
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// saveEnd closes the epoch and makes that durable.
func (s *Store) saveEnd() error {
	s.closeEpoch()
	err := s.saveState()
	if isNoRoom(err) {
		return s.markEnd(err) // the journal needs no room: its slots are there
	}
	return err
}

// lastFlush makes everything durable before the store closes: in a volume, or
// where the limits leave no room for one, in the journal; and what that has no
// slots for in a volume all the same, if the file system has the room.
func (s *Store) lastFlush() error {
	err := s.flush(true)
	if s.absent != nil && s.growing.head.len() > 0 {
		if err = s.openBesideAbsent(); err == nil {
			err = s.flush(true)
		}
	}
	// All of it is in the journal or in a volume now, or err says why not. A
	// volume is better: the next opening has nothing to move.
	if err == nil {
		s.volumeAt = 0 // once more: others may have made room
		if err = s.toVolume(true); isNoRoom(err) {
			return nil // all of it is in the journal
		}
	}
	if err == nil || !isNoRoom(err) {
		return err
	}
	// The journal is full. For what is left min_free and the slot kept for the
	// open block are used too: it is this or losing them.
	s.lastly, s.volumeAt = true, 0
	if s.toVolume(true) == nil {
		return nil
	}
	return s.flush(true) // the last slots of the journal
}

// notStored says how many readings a stop leaves in memory, where err kept them
// from the card.
func (s *Store) notStored(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.growing.head
	safe := max(s.growing.Last, s.growing.Acked)
	if err == nil || h.last <= safe {
		return err
	}
	return fmt.Errorf("at most %d readings are lost, which neither the card nor the cloud took; "+
		"the next start reports them as a gap: %w", h.last-safe, err)
}

// closeEpoch ends the growing epoch: at its last reading, or, if the card did
// not take all of them, in a gap of known size. One that has no reading, and
// of which no session was told, is forgotten by the next opening.
func (s *Store) closeEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.growing
	if last := e.head.last; last > e.Last {
		e.stopShort(last, s.o.Clock.Stamp())
		return
	}
	e.Growth = gateway.Closed
	e.Unheard = e.Last == 0 && s.session == 0
}

// unlock gives the directory free.
func (s *Store) unlock() {
	for _, lock := range []*os.File{s.lock, s.outer} {
		if lock != nil {
			_ = lock.Close()
		}
	}
}
