package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

// recover reads what earlier openings left. The error is ErrVersion, or that of
// a list of volumes or a state.db that cannot be read now.
func (s *Store) recover() error {
	// 1. What an earlier process did not finish making is nobody's: its name was
	// never given, and what it was made of is still there.
	if err := s.removeTemporary(); err != nil {
		s.o.Log.Warn("half-made files of the last run could not be deleted", "error", err)
	}
	// 2. What state.db says: which epochs there are, and what was discarded.
	if err := s.loadState(); err != nil {
		return err
	}
	volumes, err := s.shelf.list()
	if err != nil {
		return err
	}
	journal, err := readJournal(s.journal.path)
	if err != nil {
		s.keepJournalUnread(err)
	}
	// The journal is read before any volume is looked at, but taken in after
	// them: what a volume holds too was moved there before power died.
	s.stateLost = len(s.order) == 0 && len(volumes)+len(journal.marks)+len(journal.pieces) > 0
	// 3. The volumes, in order. One below the oldest that counts was discarded,
	// and power died before its unlink: the unlink is done now.
	for _, v := range volumes {
		s.nextVolume = max(s.nextVolume, v.number+1)
		if v.number < s.facts.Oldest {
			_ = s.shelf.remove(v) // discarded by the last run; if it stays, so it does at the next start
			continue
		}
		if err := s.readIn(v); err != nil {
			return err
		}
	}
	for _, d := range s.damaged {
		s.salvage(d.volume, d.cause) // last, when all that is sound is known
	}
	if s.stateLost {
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			"The store's list of epochs was lost and has been rebuilt from the readings; what the cloud has is learned again from it.")
	}
	// 4. What the journal holds and no volume does.
	if s.unread.journal == nil {
		s.recoverJournal(journal)
	}
	// 5. An epoch that still grows ended in a power cut or crash: it gets an open
	// end, and a bound on what is missing behind its last reading.
	now, opened := s.o.Clock.Anchor(), s.o.Clock.Stamp()
	for _, e := range s.order {
		if e.Growth == gateway.Growing {
			e.interrupt(now, opened)
			s.unclean = true
		}
		e.locate(now)
		s.judge(e)
	}
	// 6. What nothing covers, whatever the reason, is a gap. What was
	// found out is not saved yet: if power dies now, the next opening finds the same.
	s.audit()
	s.forgetUnheard()
	// 7. What totals go on from.
	return s.findTotals()
}

// forgetUnheard removes the epochs that never were of any use. Their ordinals
// are not used again.
func (s *Store) forgetUnheard() {
	if n := len(s.order); n > 0 {
		s.firstOrdinal = s.order[n-1].ordinal
	}
	s.order = slices.DeleteFunc(s.order, func(e *epoch) bool {
		if e.Unheard {
			delete(s.epochs, e.ID)
		}
		return e.Unheard
	})
}

// removeTemporary deletes what an earlier process did not finish making.
func (s *Store) removeTemporary() error {
	if s.o.readOnly {
		return nil
	}
	return errors.Join(removeTemporary(s.o.Dir), removeTemporary(s.shelf.dir))
}

// loadState reads state.db, if there is one that can be read.
func (s *Store) loadState() error {
	f, entries, err := s.state.load()
	switch {
	case errors.Is(err, ErrVersion):
		s.facts.Install = f.Install
		return err
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && !isDamage(err):
		return err
	case err != nil:
		s.quarantine(s.state.path, err)
	}
	if f.Install == "" {
		f = facts{Version: stateVersion, Install: gateway.NewEpochID().String()}
	}
	s.facts, s.nextVolume = f, max(f.Oldest, f.Highest+1)
	for ordinal, en := range entries {
		e := &epoch{entry: en, ordinal: ordinal}
		s.nextVolume = max(s.nextVolume, e.Filled+1)
		s.order = append(s.order, e)
		s.epochs[e.ID] = e
	}
	slices.SortFunc(s.order, func(a, b *epoch) int { return compareOrdinal(a, b.ordinal) })
	if s.state.db != nil {
		s.loadSmall()
	}
	return nil
}

// loadSmall reads events and commands.
func (s *Store) loadSmall() {
	held, lostEvents, err1 := s.state.loadEvents()
	commands, lostCommands, err2 := s.state.loadCommands()
	if err1 == nil {
		s.lane.held = held
		for _, h := range held {
			s.lane.bytes += h.size()
		}
		s.lane.acked = s.lane.find(s.facts.EventsAcked) + 1
	}
	if err2 == nil {
		s.commands = commands
	}
	if n := lostEvents + lostCommands; n > 0 || err1 != nil || err2 != nil {
		s.stateOld = s.stateOld || lostCommands > 0 || err2 != nil
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			fmt.Sprintf("%d events and %d records of commands in %s are damaged and are lost.", lostEvents, lostCommands, s.state.path))
	}
}

// readIn learns what a volume holds; one that cannot be read now is held. The
// error is ErrVersion.
func (s *Store) readIn(v *volume) error {
	var runs []run
	err := s.shelf.read(v, func(b *bbolt.Bucket) (err error) {
		runs, err = contents(b)
		return err
	})
	if errors.Is(err, block.ErrVersion) {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	if err != nil && !isDamage(err) {
		s.keepUnread(v, err)
		return nil
	}
	if err != nil {
		s.damaged = append(s.damaged, broken{v, err})
		return nil
	}
	s.shelf.retire(v)
	if len(runs) == 0 {
		_ = s.shelf.remove(v) // made, but nothing was ever put in
		return nil
	}
	if i := slices.IndexFunc(runs, func(r run) bool { return r.damaged || s.misplaced(r) }); i >= 0 {
		s.damaged = append(s.damaged, broken{v, errBlock})
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexVolumeLocked(v, runs)
	return nil
}

// broken is a volume that was found damaged, and how.
type broken struct {
	volume *volume
	cause  error
}

var errBlock = fmt.Errorf("%w: a block does not make sense", errDamaged)

// recoverJournal learns what the journal holds that no volume does. It goes into
// a volume with the first flush.
func (s *Store) recoverJournal(in found) {
	floor := max(in.floor, s.facts.Floor)
	s.journal.flush = max(in.flush, floor)
	s.journal.torn = in.damaged
	s.recoverMarks(in)
	live := slices.DeleteFunc(in.pieces, func(p *piece) bool { return p.flush < floor })
	slices.SortFunc(live, func(a, b *piece) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.First, b.First), cmp.Compare(a.Last(), b.Last()))
	})
	for len(live) > 0 {
		n := slices.IndexFunc(live, func(p *piece) bool { return p.ordinal != live[0].ordinal })
		if n < 0 {
			n = len(live)
		}
		s.recoverPieces(live[:n], in.flush)
		live = live[n:]
	}
	s.recovered = len(s.journal.pieces) > 0
	s.missPieces(in)
}

// recoverMarks notes epochs that only the journal knows, and ends that only it
// knows: there was no room in state.db, or that is an older copy, or lost.
func (s *Store) recoverMarks(in found) {
	slices.SortFunc(in.marks, func(a, b mark) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	for _, m := range in.marks {
		e := s.epochs[m.ID]
		if e == nil {
			e = s.recoverMark(m)
		}
		if e == nil || m.Counted == 0 && !m.Closed || e.Growth != gateway.Growing {
			continue
		}
		if m.Closed {
			e.Growth, e.Last = gateway.Closed, max(e.Last, m.Counted)
		} else {
			e.stopShort(m.Counted, m.EndAt)
		}
	}
}

// recoverMark adopts the epoch of a mark, unless it is an older one, which may
// have been discarded on purpose.
func (s *Store) recoverMark(m mark) *epoch {
	if i, known := slices.BinarySearchFunc(s.order, m.Ordinal, compareOrdinal); known || i < len(s.order) {
		return nil
	}
	e := &epoch{ordinal: m.Ordinal, entry: entry{
		// its volumes may be any
		ID: m.ID, Opened: m.Opened, Anchor: m.Anchor, LastAt: m.Opened, AtMost: m.AtMost, Rate: m.Rate, Burst: m.Burst,
	}}
	s.adopt(e)
	if m.Alone && !s.stateLost {
		return e
	}
	s.stateOld = !s.stateLost
	if s.stateOld {
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			"state.db is an older copy than the rest of the store: what it forgot of later readings is rebuilt from them, and "+
				"what the cloud has is learned again from it.")
	}
	return e
}

// recoverPieces takes in the pieces of one epoch, sorted: those that go on where
// the volumes end. Of versions of one block the longest counts. Behind a hole
// the pieces of the last flush alone are what a power cut left of it; they
// were not durable yet, and are left out.
func (s *Store) recoverPieces(own []*piece, lastFlush uint64) {
	e := s.epochOf(own[0].BlockHeader, own[0].ordinal)
	at := max(e.inVolumes(), e.Forgotten, e.Dropped)
	for {
		p := nextPiece(own, at)
		// Slots of one flush are written in any order before one sync. If power
		// died there, a later slot may be whole and an earlier one not: behind
		// such a hole nothing was promised.
		if p == nil || p.First > at+1 && p.flush == lastFlush && !s.maybeUnreadLocked(e) {
			break
		}
		p.ordinal = e.ordinal
		s.journal.pieces = append(s.journal.pieces, p)
		s.journal.taken[p.slot] = true
		if at = p.Last(); at >= e.Last {
			e.Last, e.LastAt, e.Anchor = at, p.T1, p.Anchor
		}
	}
}

// nextPiece gives the piece that covers the reading behind at and goes
// farthest, else the first one behind it.
func nextPiece(own []*piece, at uint64) (best *piece) {
	for _, p := range own {
		switch {
		case p.Last() <= at:
		case p.First > at+1:
			if best == nil {
				return p
			}
			return best
		case best == nil || p.Last() > best.Last():
			best = p
		}
	}
	return best
}

// missPieces tells of slots that hold nonsense, and of a journal that is gone.
// A slot may have been torn by the power cut, and then what it held was not
// durable yet; but if it is damaged, the version before it is older by one
// flush.
func (s *Store) missPieces(in found) {
	e := s.lastInterrupted()
	if e == nil {
		return
	}
	switch {
	case in.missing && s.facts.Floor > 0:
		e.lose()
		s.o.Conditions.Raise(ConditionDamage, "journal", health.Error,
			fmt.Sprintf("%s is gone or cut short: the last readings before the stop are lost and are "+
				"reported as a gap.", s.journal.path))
	case len(in.damaged) > 0:
		s.o.Conditions.Raise(ConditionDamage, "journal", health.Warning,
			fmt.Sprintf("%d of %d pages of %s do not make sense: power failed while they were written, or the card is damaged. "+
				"What was written last before the stop may be lost and is reported as a gap.",
				len(in.damaged), journalSlots, s.journal.path))
	}
}

// lastInterrupted gives the newest epoch of earlier openings, if it was found
// growing; else nil.
func (s *Store) lastInterrupted() *epoch {
	for _, e := range slices.Backward(s.order) {
		if e.head != nil {
			continue
		}
		if e.Growth == gateway.Growing || e.interrupted {
			return e
		}
		return nil
	}
	return nil
}

// missVolume looks for the newest volume that got readings of an epoch, if it
// was not deleted on purpose; it may be there in part. One that is missing before it leaves a hole
// that the audit finds.
func (s *Store) missVolume(e *epoch) {
	if e.hurt {
		e.lose()
	}
	if e.hurt || e.Filled < max(s.facts.Oldest, 1) || slices.ContainsFunc(s.volumes, func(v *volume) bool { return v.number == e.Filled }) {
		return
	}
	name := volumeName(e.Filled)
	e.Filled = 0 // told once, and saved with this opening's entry
	if s.removedHere(e) {
		return
	}
	e.lose()
	s.o.Conditions.Raise(ConditionDamage, name, health.Error,
		fmt.Sprintf("%s is missing from %s: the readings it held are lost and are reported as a gap.", name, s.shelf.dir))
}

// removedHere tells whether the newest volume of an epoch can be gone because
// the store itself deleted it, and power failed before that was noted: the
// cloud has the whole epoch, or a later volume holds the readings.
func (s *Store) removedHere(e *epoch) bool {
	if e.Done && e.Last <= e.Acked && len(e.spans) == 0 {
		e.Forgotten = max(e.Forgotten, e.Last)
		return true
	}
	return e.Growth == gateway.Closed && s.holes(e) <= e.Holes
}
