package store

import (
	"fmt"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// reportWhere finds out, once the store is open, whether what is written to it
// outlives a power cut, and says so if it does not.
func (s *Store) reportWhere() {
	where := s.o.Where
	if where == nil {
		where = files.Where
	}
	keeping, why := where(s.o.Dir)
	if log, how := where(s.shelf.dir); log > keeping { // log/ may be a mount of its own
		keeping, why = log, how
	}
	s.mu.Lock()
	s.keeping = keeping
	s.mu.Unlock()
	switch keeping {
	case files.Volatile:
		s.o.Conditions.Raise(ConditionVolatile, s.o.Dir, health.Error, fmt.Sprintf(
			"The store in %s is volatile: it lies %s. A power cut costs every reading that the cloud does not have. "+
				"Put [store] dir on a file system that is on the card or a disk; "+
				"where an overlay protects the card, give the store a partition of its own.",
			s.o.Dir, why))
	case files.Unknown:
		s.o.Conditions.Raise(ConditionVolatile, s.o.Dir, health.Warning, fmt.Sprintf(
			"The store in %s may be volatile: it lies %s. If that is in RAM, a power cut costs every reading that the cloud does "+
				"not have. Put [store] dir on a file system that is on the card or a disk.",
			s.o.Dir, why))
	}
}
