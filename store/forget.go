package store

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	sweepEvery = time.Hour // how often age alone is looked at
	minMaxSize = 4 << 20   // less than this does not hold a few volumes
)

// forgetWhatMay deletes volumes whose readings the cloud has for certain and
// which are older than the history kept; and where little room is left by the
// limits, it makes some, a step at a time. The caller holds writeMu.
func (s *Store) forgetWhatMay() {
	if err := s.forgetOld(); err != nil {
		s.cardFailed(err)
		return
	}
	var more bool
	var err error
	switch {
	case s.over(2*s.rewriteRoom(), 0) > 0:
		more, err = s.lessen(s.helps(2*s.rewriteRoom(), 0) > 0)
	case s.untilDue() > 0:
		more, err = s.mergeSmallOnes()
	}
	if err != nil && !isNoRoom(err) {
		s.cardFailed(err)
	}
	if err == nil && more {
		s.wakeRun()
	}
}

// forgetOld discards what need not be kept, and what exceeds the limits as
// they are now.
func (s *Store) forgetOld() error {
	now := time.Since(s.start)
	s.mu.Lock()
	nothing := !s.sweep && now-s.sweptAt < sweepEvery && len(s.doomed) == 0
	s.mu.Unlock()
	if nothing && s.over(0, 0) <= 0 {
		return nil
	}
	return s.makeLess(0, 0)
}

// used is how many bytes of the card the store takes.
func (s *Store) used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.beside
	for _, v := range s.volumes {
		total += v.bytes
	}
	for _, v := range s.doomed {
		total += v.bytes
	}
	for _, v := range s.unread.volumes {
		total += v.bytes
	}
	return total
}

// measureBeside counts the bytes of what is not a volume.
func (s *Store) measureBeside() {
	total := int64(0)
	for _, pattern := range []string{"state.db", "journal", "quarantine/*"} {
		names, _ := filepath.Glob(filepath.Join(s.o.Dir, pattern)) // the patterns are sound
		for _, name := range names {
			if size, err := sizeOnCard(name); err == nil {
				total += size
			}
		}
	}
	s.mu.Lock()
	s.beside = total
	s.mu.Unlock()
}

// releaseSpace deletes volumes that need not be kept, and more where over bytes
// are needed; with drop also such as hold what the cloud does not have.
func (s *Store) releaseSpace(over int64, drop bool) error {
	s.mu.Lock()
	s.sweep, s.sweptAt = false, time.Since(s.start)
	epochs := len(s.order)
	doomed, dropped := s.doomLocked(over, drop)
	nothing := len(doomed) == 0 && len(s.order) == epochs
	s.doomed = append(s.doomed, doomed...)
	s.mu.Unlock()
	if nothing && len(s.doomed) == 0 {
		return nil // acks alone are not worth a commit
	}
	// What was acknowledged, forgotten and dropped is durable before a file goes.
	// If power dies between, the next opening finds the volumes again, lower
	// than the oldest one that counts, and deletes them.
	err := s.saveState()
	if err != nil && !isNoRoom(err) {
		return err // the volumes are out of the index; they are deleted when a later save goes well, or by the next start
	}
	s.unlinkDoomed()
	if err != nil { // there was no space for the record; now there is
		err = s.saveState()
	}
	s.reportDiscarded(over, dropped)
	return err
}

// reportDiscarded says aloud what was lost, and when there is room again.
func (s *Store) reportDiscarded(over int64, dropped uint64) {
	if dropped > 0 {
		s.o.Conditions.Raise(ConditionDropped, s.o.Dir, health.Error,
			"The store is full: the oldest readings were discarded before the cloud had them, and are "+
				"reported as a gap. "+s.roomAdvice())
		return
	}
	if over > 0 {
		return
	}
	s.o.Conditions.Clear(ConditionDropped, s.o.Dir, "The store has room again.")
	s.mu.Lock()
	thinned := slices.ContainsFunc(s.volumes, func(v *volume) bool { return v.thinned })
	s.mu.Unlock()
	if !thinned {
		s.o.Conditions.Clear(ConditionThinned, s.o.Dir, "The downsampled readings are with the cloud; the store has room again.")
	}
}

func (s *Store) unlinkDoomed() {
	for _, v := range s.doomed {
		if err := s.shelf.remove(v); err != nil {
			s.o.Log.Warn("an old volume could not be deleted; the next start tries again", "file", v.path, "error", err)
		}
	}
	s.mu.Lock()
	s.doomed = nil
	s.mu.Unlock()
}

// doomLocked takes volumes out of the index: those that the cloud has for
// certain, if they are old or there is too little room; with drop then the
// oldest, none behind one that stays, so that what is left of an epoch has no
// hole in it.
func (s *Store) doomLocked(over int64, drop bool) (doomed []*volume, dropped uint64) {
	now := s.o.Clock.Anchor()
	doom := func(v *volume) {
		dropped += s.discardReadingsLocked(v)
		s.dropVolumeLocked(v)
		doomed = append(doomed, v)
		over = max(over, 0) - v.bytes // without a limit it is the least there is
	}
	for _, v := range slices.Clone(s.volumes) {
		if v != s.current && s.confirmedLocked(v) && (over > 0 || s.age(v, now) >= s.o.History) {
			doom(v)
		}
	}
	for drop && over > 0 && len(s.volumes) > 0 && s.volumes[0] != s.current {
		doom(s.volumes[0])
	}
	switch {
	case len(doomed) == 0:
	case len(s.volumes) > 0:
		s.facts.Oldest = max(s.facts.Oldest, s.volumes[0].number)
	default:
		s.facts.Oldest = doomed[len(doomed)-1].number + 1
	}
	s.facts.Oldest = s.unread.oldest(s.facts.Oldest)
	s.forgetEpochsLocked()
	return doomed, dropped
}

// confirmedLocked tells whether the cloud holds for certain all that the
// volume holds.
func (s *Store) confirmedLocked(v *volume) bool {
	for _, e := range s.order {
		for _, sp := range e.spans {
			if sp.volume == v && sp.last > e.confirmed {
				return false
			}
		}
	}
	return true
}

// discardReadingsLocked notes what goes with a volume, and counts what the
// cloud never had.
func (s *Store) discardReadingsLocked(v *volume) (dropped uint64) {
	for _, e := range s.order {
		for _, sp := range e.spans {
			if sp.volume != v {
				continue
			}
			if e.Filled == v.number {
				e.Filled = 0 // it is not missed at the next opening
			}
			if sp.last <= e.Acked {
				e.Forgotten = max(e.Forgotten, sp.last)
				continue
			}
			e.Forgotten = max(e.Forgotten, min(e.Acked, sp.last))
			dropped += sp.last - max(e.Acked, sp.first-1)
			e.Dropped = max(e.Dropped, sp.last)
		}
	}
	s.metrics.dropped += dropped
	return dropped
}

// forgetEpochsLocked removes the epochs that are over: the cloud has all of
// them and their ends for certain, and nothing of them is held.
func (s *Store) forgetEpochsLocked() {
	if !s.unread.none() {
		return // one of them may have readings there
	}
	kept := s.order[:0]
	for _, e := range s.order {
		if e.head == nil && e.Done && e.confirmedDone && len(e.spans) == 0 && len(s.journal.of(e.ordinal)) == 0 {
			delete(s.epochs, e.ID)
			continue
		}
		kept = append(kept, e)
	}
	s.order = kept
}

// age is how long ago a volume got its last reading; 0 if that is not known,
// for nothing goes because of a clock that may be wrong.
func (s *Store) age(v *volume, now gateway.Anchor) time.Duration {
	return s.since(v.newest.T1, v.newest.Anchor, now)
}

// since is how long ago a stamp was. Across boots wall time tells, where both
// boots knew it; else it is 0.
func (s *Store) since(at gateway.Stamp, then, now gateway.Anchor) time.Duration {
	stamp := s.o.Clock.Stamp()
	if then.Boot == now.Boot {
		return stamp.Sub(at)
	}
	if then.Quality == gateway.ClockNone || now.Quality == gateway.ClockNone {
		return 0
	}
	return max(0, now.Wall(stamp).Sub(then.Wall(at)))
}
