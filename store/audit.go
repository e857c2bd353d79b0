package store

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// audit looks whether volumes, journal and what was discarded cover every
// epoch from its first reading to its last on the card, and tells of holes
// that were not told before. Next gives them as gaps.
func (s *Store) audit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		if s.maybeUnreadLocked(e) {
			continue
		}
		missing := s.holes(e)
		if missing > e.Holes {
			s.o.Conditions.Raise(ConditionDamage, filepath.Base(s.shelf.dir), health.Error,
				fmt.Sprintf("%d readings that were in %s are not there any more: they are lost and are "+
					"reported as a gap.", missing-e.Holes, s.o.Dir))
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
