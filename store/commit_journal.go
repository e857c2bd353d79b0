package store

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// toJournal makes the head's readings up to upto durable in the journal:
// they join the open block, which goes on in further slots when one is full.
// When the journal has enough they go on into a volume. If there is room for
// none, the journal takes as many as it has slots for.
func (s *Store) toJournal(e *epoch, upto uint64) error {
	pieces, err := s.makePieces(e, upto)
	if err != nil {
		return err
	}
	began := time.Now()
	n, err := s.fitJournal(len(pieces))
	if n < len(pieces) && s.volumeMay() {
		verr := s.toVolume(true)
		if !isNoRoom(verr) {
			return verr
		}
		s.volumeRefused(verr)
		if upto <= e.Last {
			return nil // there was room for these, and none for what came behind
		}
		return s.toJournal(e, upto) // slots may be free now
	}
	if n > 0 && pieces[n-1].Last() <= e.Last { // no more than the open block, which is full
		s.sealOpen()
		return s.toJournal(e, upto)
	}
	if n == 0 {
		return err
	}
	// The pieces go into slots that hold nothing, also the open block that is
	// there already in a shorter version. If power dies here, that version is
	// whole, and the readings behind it are in the open gap.
	if err := s.journal.add(pieces[:n]); err != nil {
		return err
	}
	if n < len(pieces) {
		err = fmt.Errorf("the journal is full, and there is no room for a volume: %w", unix.ENOSPC)
	}
	return errors.Join(err, s.notePieces(e, pieces[:n], began))
}

// sealOpen has the next readings begin a piece of their own in the journal.
func (s *Store) sealOpen() {
	s.mu.Lock()
	s.journal.open = nil
	s.mu.Unlock()
}

// fitJournal tells how many of n pieces the journal takes now. It keeps a slot
// for the next version of the open block, unless the store closes or what goes
// there is full. The error says why it takes none.
func (s *Store) fitJournal(n int) (int, error) {
	if err := s.journal.ready(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	room := s.journal.room()
	s.mu.Unlock()
	switch {
	case n <= room && (s.lastly || n < room || s.journal.open != nil):
		return n, nil
	case !s.lastly:
		n-- // the last one is not full
	}
	if n = min(n, room); n == 0 {
		return 0, fmt.Errorf("%w: %d pages are free, and there is no room for a volume: %w", errNoJournal, room, unix.ENOSPC)
	}
	return n, nil
}

// notePieces notes that pieces are in the journal. If that has enough now, all
// of it goes into a volume.
func (s *Store) notePieces(e *epoch, pieces []*piece, began time.Time) error {
	s.mu.Lock()
	s.riskLocked()
	first, last := pieces[0], pieces[len(pieces)-1]
	hole := first.First > e.Last+1
	s.journal.keep(pieces)
	e.Last, e.LastAt = last.Last(), last.T1
	s.countCommitLocked(e, int64(len(pieces))*slotSize, time.Since(began))
	full := s.journal.readings() >= blockReadings || len(s.journal.pieces) > journalSlots/2
	s.mu.Unlock()
	if hole { // of the last flush alone nothing behind a hole counts: this is not the last one any more
		if err := s.markEpoch(); err != nil {
			return err
		}
	}
	if full && s.volumeMay() {
		err := s.toVolume(true)
		if !isNoRoom(err) {
			return err
		}
		s.volumeRefused(err)
	}
	return s.learnRisk()
}

// makePieces encodes the open block and what comes behind it.
func (s *Store) makePieces(e *epoch, upto uint64) ([]*piece, error) {
	h := gateway.BlockHeader{Anchor: s.anchored(e)}
	h.Epoch = e.ID
	s.mu.Lock()
	from := e.Last + 1
	if e.head != nil {
		from = max(from, e.head.first) // before it a gap
	}
	open := s.journal.open
	if open != nil && (open.ordinal != e.ordinal || open.Last()+1 != from) {
		s.journal.open, open = nil, nil
	}
	if open != nil {
		from = open.First
	}
	s.mu.Unlock()
	s.encMu.Lock()
	defer s.encMu.Unlock()
	rs, _, err := s.readings(e, from, int(upto+1-from))
	if err != nil {
		return nil, err
	}
	var pieces []*piece
	for try := len(rs); len(rs) > 0; {
		h.First = from
		data, n, err := fit(s.enc, h, rs[:min(try, len(rs))], slotRoom)
		if err != nil {
			return nil, err
		}
		p := &piece{ordinal: e.ordinal, data: data}
		if p.BlockHeader, err = block.Parse(data); err != nil {
			return nil, err
		}
		pieces = append(pieces, p)
		from, rs = from+uint64(n), rs[n:]
		try = n + n/8 // the next slot takes about as many
	}
	if open != nil && len(pieces) > 1 && pieces[0].Last() == open.Last() { // it was full
		s.sealOpen()
		pieces = pieces[1:]
	}
	return pieces, nil
}
