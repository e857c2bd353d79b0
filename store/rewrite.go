package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

const (
	mergeCount = 8       // so many volumes in a row …
	mergeSmall = 1 << 20 // … of at most this size become one …
	mergeBytes = 4 << 20 // … of at most this size
)

// A rewrite puts what is left of one or more volumes into a new file under
// the last one's name. It goes on a block at a time, between the commits, so
// that nothing waits for it.
type rewrite struct {
	from    []*volume // consecutive; the last one's name stays
	at      int       // the one being read
	next    []byte    // key of its next block
	kept    []record
	bytes   int64             // of kept
	without map[uint64]uint64 // by ordinal: what the cloud has for certain up to here is left out
	reduce  *reducer          // nil: blocks stay as they are
}

// rewriteRoom is what the limits keep free for one rewrite, which makes a
// volume half as long at least.
func (s *Store) rewriteRoom() int64 { return s.volumeLimit() / 2 }

// lessen makes one step to give room without losing anything that was not
// acknowledged; with detail beyond the detail of the oldest readings. It tells
// whether there is more to be done. The caller holds writeMu.
func (s *Store) lessen(detail bool) (more bool, err error) {
	if w := s.rewriting; w != nil && !s.stillThere(w) {
		s.rewriting = nil
	}
	if s.rewriting == nil {
		if s.rewriting = s.nextRewrite(detail); s.rewriting == nil {
			return false, nil
		}
	}
	done, err := s.rewriteStep(s.rewriting)
	if err == nil && !done {
		return true, nil
	}
	w := s.rewriting
	s.rewriting = nil
	if err == nil {
		err = s.finishRewrite(w)
	}
	if errors.Is(err, block.ErrLimit) || errors.Is(err, block.ErrCorrupt) {
		w.keepAsIs()
		err = nil
	}
	return true, err
}

// keepAsIs notes that a rewrite is of no use, so that it is not tried again.
func (w *rewrite) keepAsIs() {
	for _, v := range w.from {
		v.final = true
	}
}

// stillThere tells whether all of a rewrite's volumes are still in the index.
func (s *Store) stillThere(w *rewrite) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(w.from, func(v *volume) bool { return !slices.Contains(s.volumes, v) })
}

// nextRewrite chooses a volume: one that the cloud has half of for certain, or
// else, with detail, the oldest one whose readings can be downsampled.
func (s *Store) nextRewrite(detail bool) *rewrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.volumes {
		if all, confirmed := s.sharesLocked(v); v != s.current && !v.final && !v.thinned && confirmed > 0 && confirmed >= all/2 {
			return &rewrite{from: []*volume{v}, without: s.confirmedByOrdinalLocked()}
		}
	}
	if !detail || s.o.ThinInterval == 0 {
		return nil
	}
	for _, v := range s.volumes {
		if v != s.current && !v.thinned && !v.final && !s.inFlightLocked(v) {
			return &rewrite{from: []*volume{v}, without: s.confirmedByOrdinalLocked(), reduce: newReducer(s.o.ThinInterval.Microseconds())}
		}
	}
	return nil
}

// sharesLocked counts the readings of a volume, and those of them that the
// cloud has for certain.
func (s *Store) sharesLocked(v *volume) (all, confirmed uint64) {
	for _, e := range s.order {
		for _, sp := range e.spans {
			if sp.volume == v {
				all += sp.last + 1 - sp.first
				confirmed += min(max(e.confirmed+1, sp.first), sp.last+1) - sp.first
			}
		}
	}
	return all, confirmed
}

func (s *Store) confirmedByOrdinalLocked() map[uint64]uint64 {
	confirmed := map[uint64]uint64{}
	for _, e := range s.order {
		confirmed[e.ordinal] = e.confirmed
	}
	return confirmed
}

// inFlightLocked tells whether readings of a volume were given to the uplink
// in this session and are not acknowledged.
func (s *Store) inFlightLocked(v *volume) bool {
	for _, e := range s.order {
		for _, sp := range e.spans {
			if sp.volume == v && sp.first <= e.given && sp.last > e.Acked {
				return true
			}
		}
	}
	return false
}

// rewriteStep takes in one block; done tells that it was the last.
func (s *Store) rewriteStep(w *rewrite) (done bool, err error) {
	v := w.from[w.at]
	r, err := s.shelf.nextRecord(v, w.next)
	if errors.Is(err, errNoMore) {
		w.at, w.next = w.at+1, nil
		if w.at < len(w.from) {
			return false, nil
		}
		return true, s.endRun(w)
	}
	if isDamage(err) {
		s.saveWhatIsLeft(v, err)
	}
	if err != nil {
		return false, fmt.Errorf("rewrite %s: %w", v.path, err)
	}
	w.next = blockKey(r.ordinal, r.First+1)
	switch {
	case r.gap == "" && r.Last() <= w.without[r.ordinal]:
		return false, nil
	case w.reduce == nil || r.gap != "" || r.Thinned:
		err = s.endRun(w)
		w.keep(r)
		return false, err
	}
	if !w.reduce.follows(&r) {
		err = s.endRun(w)
	}
	return false, errors.Join(err, w.reduce.add(&r))
}

func (w *rewrite) keep(r record) {
	w.kept = append(w.kept, r)
	w.bytes += int64(len(r.value))
}

// size is how long the new file will be, about: what is kept, and the pages of
// bbolt's own.
func (w *rewrite) size() int64 { return w.bytes + w.bytes/8 + 6*4096 }

// endRun makes a downsampled record of the readings taken in.
func (s *Store) endRun(w *rewrite) error {
	if w.reduce == nil || w.reduce.header.N == 0 {
		return nil
	}
	s.encMu.Lock()
	defer s.encMu.Unlock()
	r, err := w.reduce.empty(s.enc)
	if err == nil {
		w.keep(r)
	}
	return err
}

// errNoMore says that a volume holds nothing behind.
var errNoMore = errors.New("no more")

// nextRecord reads the first record from key on.
func (s *shelf) nextRecord(v *volume, key []byte) (r record, err error) {
	err = s.read(v, func(b *bbolt.Bucket) error {
		if b == nil {
			return fmt.Errorf("%w: no bucket of blocks", errDamaged)
		}
		k, value := b.Cursor().Seek(key)
		if k == nil {
			return errNoMore
		}
		var err error
		r, err = parseRecord(slices.Clone(k), slices.Clone(value))
		return err
	})
	return r, err
}

// finishRewrite writes the new file. What it leaves out, and for several
// volumes which one got their readings, is durable before what holds it goes.
func (s *Store) finishRewrite(w *rewrite) error {
	last := w.from[len(w.from)-1]
	held := slices.Clone(w.kept)
	w.kept = withoutCopies(w.kept)
	if len(w.kept) == 0 || overlap(held, w.kept) || len(w.from) == 1 && w.size() > last.bytes/2 {
		w.keepAsIs()
		return nil
	}
	if !s.fits(w.size()) {
		return fmt.Errorf("rewrite %s: %w", last.path, unix.ENOSPC)
	}
	if s.wentBack(w) {
		return nil
	}
	// 1. The new file, under a temporary name. If power dies here, the next
	// opening deletes it, and the old volumes hold everything.
	if err := makeVolume(&s.disk, last.path+temporary, w.kept); err != nil {
		return err
	}
	// 2. The record of what it leaves out. If power dies here, the old volumes
	// hold readings that count as forgotten; a later rewrite leaves them out.
	if len(w.without) > 0 {
		if err := s.forgetLeftOut(w); err != nil {
			return err
		}
	}
	// 3. The name. If power dies here, the folder has the old file or the new
	// one; of several volumes the earlier ones still hold what the new one
	// holds too, and the index counts each reading once.
	if err := s.disk.rename(last.path+temporary, last.path); err != nil {
		return err
	}
	s.swap(w)
	s.reportDownsampled(w)
	if len(w.from) == 1 {
		return nil
	}
	s.mu.Lock()
	s.doomed = append(s.doomed, w.from[:len(w.from)-1]...)
	s.mu.Unlock()
	// 4. Which volume holds the readings now, then the unlinks. If power dies
	// between, the earlier volumes are found again, and what they hold counts once.
	err := s.saveState()
	if err == nil {
		s.unlinkDoomed()
	}
	return err
}

// forgetLeftOut notes what a rewrite leaves out.
func (s *Store) forgetLeftOut(w *rewrite) error {
	s.mu.Lock()
	for _, e := range s.order {
		for _, sp := range e.spans {
			if slices.Contains(w.from, sp.volume) && sp.first <= w.without[e.ordinal] {
				e.Forgotten = max(e.Forgotten, min(sp.last, w.without[e.ordinal]))
			}
		}
	}
	s.mu.Unlock()
	return s.saveState()
}

// swap puts the new file of a rewrite into the index.
func (s *Store) swap(w *rewrite) {
	last := w.from[len(w.from)-1]
	for _, v := range w.from {
		s.shelf.retire(v)
	}
	size, err := sizeOnCard(last.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		last.bytes = size
	}
	for _, v := range w.from[:len(w.from)-1] {
		s.dropVolumeLocked(v)
	}
	last.oldest, last.newest = gateway.BlockHeader{}, gateway.BlockHeader{}
	last.thinned = last.thinned || w.reduce != nil
	for _, e := range s.order {
		e.remove(last)
		if slices.ContainsFunc(w.from, func(v *volume) bool { return v.number == e.Filled }) {
			e.Filled = last.number
		}
	}
	for i := range w.kept {
		r := &w.kept[i]
		if at, known := slices.BinarySearchFunc(s.order, r.ordinal, compareOrdinal); known {
			last.index(s.order[at], r)
		}
	}
	s.metrics.written += uint64(w.bytes)
	s.metrics.commits++
}

// reportDownsampled says aloud that detail was discarded.
func (s *Store) reportDownsampled(w *rewrite) {
	if w.reduce == nil {
		return
	}
	s.o.Conditions.Raise(ConditionThinned, s.o.Dir, health.Warning, fmt.Sprintf(
		"The store is nearly full: of its oldest unsent readings only count, least, greatest and mean value per channel and %v "+
			"are kept. %s", s.o.ThinInterval, s.roomAdvice()))
}

// mergeSmallOnes puts volumes that many restarts left small into one, a step
// at a time. The caller holds writeMu; it is called when nothing is due.
func (s *Store) mergeSmallOnes() (more bool, err error) {
	if s.rewriting != nil {
		return s.lessen(false)
	}
	s.mu.Lock()
	from := s.smallOnesLocked()
	s.mu.Unlock()
	if from == nil || s.over(mergeBytes, 0) > 0 {
		return false, nil
	}
	s.rewriting = &rewrite{from: from}
	return true, nil
}

// smallOnesLocked gives consecutive volumes that are worth merging.
func (s *Store) smallOnesLocked() []*volume {
	begin, total := 0, int64(0)
	for i, v := range s.volumes {
		fits := v.mergeable(s.current) && v.thinned == s.volumes[begin].thinned
		if !fits || total+v.bytes > mergeBytes {
			if i-begin >= mergeCount {
				return slices.Clone(s.volumes[begin:i])
			}
			begin, total = i, 0
			if !v.mergeable(s.current) {
				begin = i + 1
				continue
			}
		}
		total += v.bytes
	}
	if n := len(s.volumes); n-begin >= mergeCount {
		return slices.Clone(s.volumes[begin:])
	}
	return nil
}

func (v *volume) mergeable(current *volume) bool {
	return v != current && !v.final && v.bytes <= mergeSmall
}

// overlap tells of blocks that hold some readings of another and more: a
// commit that failed, although it was applied, leaves such in two volumes.
// They cannot share one.
func overlap(held, kept []record) bool {
	return slices.ContainsFunc(held, func(r record) bool {
		at, _ := slices.BinarySearchFunc(kept, r, compareEnd)
		return at == len(kept) || kept[at].ordinal != r.ordinal || kept[at].First > r.First
	})
}

// compareEnd orders records by their last reading.
func compareEnd(a, b record) int {
	return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.Last(), b.Last()))
}

// wentBack tells whether the cloud has taken back what a rewrite leaves out.
func (s *Store) wentBack(w *rewrite) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.order, func(e *epoch) bool { return w.without[e.ordinal] > e.confirmed })
}
