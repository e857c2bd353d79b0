package store

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// takeJournal learns what the journal holds that no volume does. It goes into
// a volume with the first flush.
func (s *Store) takeJournal(in found) {
	floor := max(in.floor, s.facts.Floor)
	s.journal.flush = max(in.flush, floor)
	s.journal.torn = in.damaged
	s.takeMarks(in)
	live := slices.DeleteFunc(in.pieces, func(p *piece) bool { return p.flush < floor })
	slices.SortFunc(live, func(a, b *piece) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.First, b.First), cmp.Compare(a.Last(), b.Last()))
	})
	for len(live) > 0 {
		n := slices.IndexFunc(live, func(p *piece) bool { return p.ordinal != live[0].ordinal })
		if n < 0 {
			n = len(live)
		}
		s.takePieces(live[:n], in.flush)
		live = live[n:]
	}
	s.recovered = len(s.journal.pieces) > 0
	s.missPieces(in)
}

// takeMarks notes epochs that only the journal knows, and ends that only it
// knows: there was no room in state.db, or that is an older copy, or lost.
func (s *Store) takeMarks(in found) {
	slices.SortFunc(in.marks, func(a, b mark) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	for _, m := range in.marks {
		e := s.epochs[m.ID]
		if e == nil {
			e = s.takeMark(m)
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

// takeMark adopts the epoch of a mark, unless it is an older one, which may
// have been given up on purpose.
func (s *Store) takeMark(m mark) *epoch {
	if i, known := slices.BinarySearchFunc(s.order, m.Ordinal, compareOrdinal); known || i < len(s.order) {
		return nil
	}
	e := &epoch{ordinal: m.Ordinal, entry: entry{
		ID: m.ID, Opened: m.Opened, Anchor: m.Anchor, LastAt: m.Opened, AtMost: m.AtMost, Rate: m.Rate, Burst: m.Burst, // its volumes may be any
	}}
	s.adopt(e)
	if m.Alone && !s.stateLost {
		return e
	}
	s.stateOld = !s.stateLost
	if s.stateOld {
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			"state.db is an older copy than the rest of the store: what it forgot of later readings is rebuilt from them, and what the cloud has is learned again from it.")
	}
	return e
}

// adopt takes in an epoch that state.db does not know.
func (s *Store) adopt(e *epoch) {
	i, _ := slices.BinarySearchFunc(s.order, e.ordinal, compareOrdinal)
	s.order = slices.Insert(s.order, i, e)
	s.epochs[e.ID] = e
}

// epochOf gives the epoch of a block; one that is not known is adopted, under
// the ordinal given or, if that is another's, behind all others.
func (s *Store) epochOf(h gateway.BlockHeader, ordinal uint64) *epoch {
	if e := s.epochs[h.Epoch]; e != nil {
		return e
	}
	_, taken := slices.BinarySearchFunc(s.order, ordinal, compareOrdinal)
	if n := len(s.order); n > 0 && (taken || ordinal == 0) {
		ordinal = s.order[n-1].ordinal + 1
	}
	e := &epoch{ordinal: max(ordinal, s.firstOrdinal+1), entry: entry{
		ID: h.Epoch, Opened: h.T0, Anchor: h.Anchor, AtMost: gateway.AtMostUnknown,
	}}
	s.adopt(e)
	return e
}

// takePieces takes in the pieces of one epoch, sorted: those that go on where
// the volumes end. Of versions of one block the longest counts. Behind a hole
// the pieces of the last flush alone are what a power cut left of it; they
// were not durable yet, and are left out.
func (s *Store) takePieces(own []*piece, lastFlush uint64) {
	e := s.epochOf(own[0].BlockHeader, own[0].ordinal)
	at := max(e.inVolumes(), e.Forgotten, e.Dropped)
	for {
		p := nextPiece(own, at)
		if p == nil || p.First > at+1 && p.flush == lastFlush && !s.heldBackLocked(e) {
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
			fmt.Sprintf("%s is gone or cut short: the last readings before the stop are lost and are reported as a gap.", s.journal.path))
	case len(in.damaged) > 0:
		s.o.Conditions.Raise(ConditionDamage, "journal", health.Warning,
			fmt.Sprintf("%d of %d pages of %s do not make sense: power failed while they were written, or the card is damaged. What was written last before the stop may be lost and is reported as a gap.",
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
// was not given up on purpose; it may be there in part. One that is missing before it leaves a hole
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

// audit looks whether volumes, journal and what was given up cover every
// epoch from its first reading to its last on the card, and tells of holes
// that were not told before. Next gives them as gaps.
func (s *Store) audit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		if s.heldBackLocked(e) {
			continue
		}
		missing := s.holes(e)
		if missing > e.Holes {
			s.o.Conditions.Raise(ConditionDamage, filepath.Base(s.shelf.dir), health.Error,
				fmt.Sprintf("%d readings that were in %s are not there any more: they are lost and are reported as a gap.", missing-e.Holes, s.o.Dir))
		}
		e.Holes = max(e.Holes, missing)
	}
}

// holes counts the readings of an epoch up to its last that nothing covers.
func (s *Store) holes(e *epoch) (missing uint64) {
	covers := slices.Clone(e.spans)
	for _, p := range s.journal.of(e.ordinal) {
		covers = append(covers, span{first: p.First, last: p.Last()})
	}
	slices.SortFunc(covers, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	at := max(e.Forgotten, e.Dropped)
	for _, c := range covers {
		if c.first > at+1 {
			missing += c.first - at - 1
		}
		at = max(at, c.last)
	}
	if e.Last > at {
		missing += e.Last - at
	}
	return missing
}
