package store

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

// salvage saves what can be read of a damaged volume: blocks are found by
// plain reads, not through bbolt, and go into a new file under the volume's
// own name; the damaged one is kept in quarantine. The readings that are not
// found become gaps. The volume is in no index; the caller holds writeMu.
func (s *Store) salvage(v *volume, cause error) {
	s.shelf.retire(v)
	// 1. What can be read of it, into RAM. Nothing has changed on the card.
	records, err := s.findRecords(v.path)
	// 2. A second name for the damaged file. If power dies here, it has two, and
	// the next opening begins anew.
	kept := ""
	if err == nil {
		kept, err = s.keepAside(v.path)
	}
	// 3. The new file under the volume's own name. If power dies here, there is
	// the damaged file or the new one, and the damaged one is in quarantine.
	if err == nil {
		err = s.replace(v, records)
	}
	if err != nil && !isDamage(err) && !s.o.readOnly {
		s.keepUnread(v, fmt.Errorf("it is damaged (%w), and what is left in it could not be saved: %w", cause, err))
		return
	}
	s.hurt(v)
	if err != nil {
		s.o.Conditions.Raise(ConditionDamage, filepath.Base(v.path), health.Error, fmt.Sprintf(
			"%s is damaged (%v), and what is left in it could not be saved (%v); the next start tries again. "+
				"Until then its readings are reported as a gap.", v.path, cause, err))
		return
	}
	s.indexSaved(v)
	saved := uint64(0)
	for _, r := range records {
		if r.gap == "" {
			saved += r.N
		}
	}
	s.o.Conditions.Raise(ConditionDamage, filepath.Base(v.path), health.Error, fmt.Sprintf(
		"%s is damaged (%v). %d of its readings were saved; what is missing is lost and is reported as a gap. "+
			"The damaged file is kept as %s.", v.path, cause, saved, kept))
}

// hurt marks the epochs whose newest readings may have been in a volume that
// was damaged.
func (s *Store) hurt(v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		holds := slices.ContainsFunc(e.spans, func(sp span) bool { return sp.volume == v })
		e.hurt = e.hurt || e.Filled == v.number || e.Filled == 0 && holds
	}
}

// findRecords gathers the blocks of a damaged file. Those of epochs that
// nothing else knows get ordinals of their own.
func (s *Store) findRecords(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var all []record
	err = block.Scan(f, info.Size(), func(_ int64, b []byte) error {
		h, err := block.Parse(b)
		all = append(all, record{ordinal: s.ordinalOf(h), BlockHeader: h, value: slices.Clone(b)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return withGaps(withoutCopies(all))
}

// ordinalOf gives the ordinal of a block's epoch.
func (s *Store) ordinalOf(h gateway.BlockHeader) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epochOf(h, 0).ordinal
}

// withoutCopies sorts records by name and leaves out those that others cover:
// bbolt leaves older copies of a page in the file.
func withoutCopies(all []record) []record {
	slices.SortFunc(all, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.First, b.First), cmp.Compare(b.N, a.N))
	})
	kept := all[:0]
	for _, r := range all {
		if n := len(kept); n > 0 && kept[n-1].ordinal == r.ordinal && r.First <= kept[n-1].Last() {
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// withGaps puts gaps between records of one epoch that do not follow each
// other.
func withGaps(records []record) (all []record, err error) {
	for i, r := range records {
		if i > 0 && records[i-1].ordinal == r.ordinal && records[i-1].Last()+1 < r.First {
			before := records[i-1]
			missing := gateway.Range{Epoch: r.Epoch, First: before.Last() + 1, N: r.First - before.Last() - 1}
			g := gateway.Gap{Why: gateway.WhyUnknown, T0: before.T1, T1: max(before.T1, r.T0), Anchor: r.Anchor}
			gap, err := newGap(r.ordinal, missing, g)
			if err != nil {
				return nil, err
			}
			all = append(all, gap)
		}
		all = append(all, r)
	}
	return all, nil
}

// replace writes records to a file that takes the place of a volume's, or
// deletes that if there are none.
func (s *Store) replace(v *volume, records []record) error {
	if len(records) == 0 {
		return s.disk.unlink(v.path)
	}
	if err := makeVolume(&s.disk, v.path+temporary, records); err != nil {
		return err
	}
	return s.disk.rename(v.path+temporary, v.path)
}

// indexSaved takes the new file of a volume into the index.
func (s *Store) indexSaved(v *volume) {
	size, err := sizeOnCard(v.path)
	if err != nil {
		return // nothing was saved
	}
	v.bytes = size
	var runs []run
	err = s.shelf.read(v, func(b *bbolt.Bucket) (err error) {
		runs, err = contents(b)
		return err
	})
	s.shelf.retire(v)
	if err != nil {
		return // damaged as soon as it was written: the next start tries again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexVolumeLocked(v, runs)
}
