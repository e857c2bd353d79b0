package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

const (
	quarantineFiles = 8 // kept at most, the newest …
	quarantineShare = 8 // … and not more than this part of max_size
)

// salvage saves what can be read of a damaged volume: blocks are found by
// plain reads, not through bbolt, and go into a new file under the volume's
// own name; the damaged one is kept in quarantine. The readings that are not
// found become gaps. The volume is in no index; the caller holds writeMu.
func (s *Store) salvage(v *volume, cause error) {
	s.shelf.retire(v)
	records, err := s.findRecords(v.path)
	kept := ""
	if err == nil {
		kept, err = s.keepAside(v.path)
	}
	if err == nil {
		err = s.replace(v, records)
	}
	if err != nil && !isDamage(err) && !s.o.readOnly {
		s.hold(v, fmt.Errorf("it is damaged (%w), and what is left in it could not be saved: %w", cause, err))
		return
	}
	s.hurt(v)
	if err != nil {
		s.o.Conditions.Raise(ConditionDamage, filepath.Base(v.path), health.Error, fmt.Sprintf(
			"%s is damaged (%v), and what is left in it could not be saved (%v); the next start tries again. Until then its readings are reported as a gap.", v.path, cause, err))
		return
	}
	s.takeSaved(v)
	saved := uint64(0)
	for _, r := range records {
		if r.gap == "" {
			saved += r.N
		}
	}
	s.o.Conditions.Raise(ConditionDamage, filepath.Base(v.path), health.Error, fmt.Sprintf(
		"%s is damaged (%v). %d of its readings were saved; what is missing is lost and is reported as a gap. The damaged file is kept as %s.", v.path, cause, saved, kept))
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

// keepAside gives a damaged file a second name in quarantine.
func (s *Store) keepAside(path string) (kept string, err error) {
	dir := filepath.Join(s.o.Dir, "quarantine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	kept = filepath.Join(dir, fmt.Sprintf("%s.%s", filepath.Base(path), time.Now().UTC().Format("20060102T150405.000")))
	if err := s.disk.link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	s.limitQuarantine(dir)
	return kept, nil
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
			gap, err := newGap(r.ordinal, missing, gateway.Gap{Why: gateway.WhyUnknown, T0: before.T1, T1: max(before.T1, r.T0), Anchor: r.Anchor})
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

// takeSaved takes the new file of a volume into the index.
func (s *Store) takeSaved(v *volume) {
	size, err := sizeOnCard(v.path)
	if err != nil {
		return // nothing was saved
	}
	v.bytes = size
	var runs []held
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
	s.takeInLocked(v, runs)
}

// quarantine moves a damaged file out of the way.
func (s *Store) quarantine(path string, cause error) {
	dir := filepath.Join(s.o.Dir, "quarantine")
	name := filepath.Base(path)
	to := filepath.Join(dir, fmt.Sprintf("%s.%s", name, time.Now().UTC().Format("20060102T150405.000")))
	moved := "was moved to " + dir
	if err := errors.Join(os.MkdirAll(dir, 0o700), s.disk.rename(path, to)); err != nil {
		moved = fmt.Sprintf("could not be moved away (%v)", err)
	}
	s.o.Conditions.Raise(ConditionDamage, name, health.Error, fmt.Sprintf(
		"%s is damaged (%v) and %s; the list of epochs is rebuilt from the readings, and what the cloud has is learned again from it.", path, cause, moved))
	s.limitQuarantine(dir)
}

// limitQuarantine keeps the newest files.
func (s *Store) limitQuarantine(dir string) {
	files, _ := os.ReadDir(dir)
	slices.SortFunc(files, func(a, b fs.DirEntry) int { return modified(b).Compare(modified(a)) })
	total := int64(0)
	for i, f := range files {
		path := filepath.Join(dir, f.Name())
		size, err := sizeOnCard(path)
		if err != nil {
			continue
		}
		total += size
		if i >= quarantineFiles || s.o.MaxSize > 0 && total > s.o.MaxSize/quarantineShare {
			if err := s.disk.unlink(path); err != nil {
				s.o.Log.Warn("An old file in quarantine could not be deleted.", "file", path, "error", err)
			}
		}
	}
	s.measureBeside()
}

func modified(f fs.DirEntry) time.Time {
	info, err := f.Info()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
