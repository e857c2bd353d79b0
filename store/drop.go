package store

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// DropBefore discards every reading that was taken before t, for an operator
// who no longer wants a backlog, and tells how many of them the cloud never
// had: those become a gap. Readings of a boot that never knew the time stay.
// Blocks go whole: the newest of them keeps what it holds from before t.
func (s *Store) DropBefore(t time.Time) (dropped uint64, err error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.flush(true); err != nil {
		return 0, fmt.Errorf("drop: %w", err)
	}
	if err := s.toVolume(true); err != nil && !isNoRoom(err) { // else discarding makes the room
		return 0, fmt.Errorf("drop: %w", err)
	}
	s.sealCurrent()
	for _, e := range s.unfinished() {
		upto, err := s.lastBefore(e, t)
		if err != nil {
			return dropped, fmt.Errorf("drop: %w", err)
		}
		s.mu.Lock()
		if before := max(e.Acked, e.Dropped); upto > before {
			dropped += upto - before
		}
		e.Forgotten = max(e.Forgotten, min(upto, e.Acked))
		if upto > e.Acked {
			e.Dropped = max(e.Dropped, upto)
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.doomed = append(s.doomed, s.spentLocked()...)
	s.mu.Unlock()
	// The record before the unlinks. If power dies between, the volumes lie below
	// the oldest that counts, and the next opening deletes them.
	if err := s.saveState(); err != nil {
		return dropped, fmt.Errorf("drop: %w", err)
	}
	s.unlinkDoomed()
	if dropped > 0 {
		s.o.Conditions.Raise(ConditionDropped, s.o.Dir, health.Warning, fmt.Sprintf(
			"%d readings from before %s that the cloud never had were discarded on request, and are "+
				"reported as a gap.", dropped, t.UTC().Format(time.RFC3339)))
	}
	return dropped, nil
}

func (s *Store) unfinished() []*epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*epoch(nil), s.order...)
}

// lastBefore is the last reading of an epoch in blocks that end before t; 0
// if there is none.
func (s *Store) lastBefore(e *epoch, t time.Time) (last uint64, err error) {
	s.mu.Lock()
	spans := append([]span(nil), e.spans...)
	s.mu.Unlock()
	for _, sp := range spans {
		before, done := uint64(0), false
		err := s.shelf.read(sp.volume, func(b *bbolt.Bucket) (err error) {
			before, done, err = lastBefore(b, e.ordinal, sp.first, t)
			return err
		})
		if before > 0 {
			last = before
		}
		if err != nil || done {
			return last, err
		}
	}
	return last, nil
}

// lastBefore is the last reading of an epoch in the blocks of one volume, from
// first on, that end before t; 0 if there is none. done tells that a block of
// the epoch ends later.
func lastBefore(b *bbolt.Bucket, ordinal, first uint64, t time.Time) (last uint64, done bool, err error) {
	c := b.Cursor()
	for k, v := c.Seek(blockKey(ordinal, first)); k != nil; k, v = c.Next() {
		r, err := parseRecord(k, v)
		if err != nil {
			return last, false, err
		}
		known := r.Anchor.Quality != gateway.ClockNone
		if r.ordinal != ordinal || !known || !r.Anchor.Wall(r.T1).Before(t) {
			return last, r.ordinal == ordinal, nil
		}
		last = r.Last()
	}
	return last, false, nil
}

// spentLocked takes the oldest volumes out of the index all of whose readings
// are discarded.
func (s *Store) spentLocked() (spent []*volume) {
	for len(s.volumes) > 0 && !s.neededLocked(s.volumes[0]) {
		v := s.volumes[0]
		s.dropVolumeLocked(v)
		s.facts.Oldest = s.unread.oldest(v.number + 1)
		spent = append(spent, v)
	}
	return spent
}

// neededLocked tells whether a volume holds a reading that is not discarded.
func (s *Store) neededLocked(v *volume) bool {
	for _, e := range s.order {
		for _, sp := range e.spans {
			if sp.volume == v && sp.last > max(e.Forgotten, e.Dropped) {
				return true
			}
		}
	}
	return false
}
