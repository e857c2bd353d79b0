package store

import (
	"cmp"
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
)

// A span is a run of an epoch's readings, or gaps, in one volume.
type span struct {
	first, last uint64
	volume      *volume
}

// insert adds a span in its place, or extends the last one of its volume.
func (e *epoch) insert(s span) {
	for i := range e.spans {
		if e.spans[i].volume == s.volume && e.spans[i].last+1 == s.first {
			e.spans[i].last = s.last
			return
		}
	}
	at := len(e.spans)
	for at > 0 && e.spans[at-1].first > s.first {
		at--
	}
	e.spans = slices.Insert(e.spans, at, s)
}

// remove takes out what was in a volume.
func (e *epoch) remove(v *volume) {
	e.spans = slices.DeleteFunc(e.spans, func(s span) bool { return s.volume == v })
}

// find gives the spans that contain seq, and the first seq behind it that is
// on the card (0 if none is).
func (e *epoch) find(seq uint64) (in []span, next uint64) {
	for _, s := range e.spans {
		if s.first <= seq && seq <= s.last {
			in = append(in, s)
		}
		if s.first > seq && (next == 0 || s.first < next) {
			next = s.first
		}
	}
	return in, next
}

// stored counts the readings that volumes hold, each once: a power cut while
// volumes were merged leaves them in both; and those of them that are thinned.
func (e *epoch) stored() (all, thinned uint64) {
	at := uint64(0)
	for _, s := range e.spans {
		if s.last <= at {
			continue
		}
		n := s.last - max(at, s.first-1)
		if at = s.last; s.volume.thinned {
			thinned += n
		}
		all += n
	}
	return all, thinned
}

// inVolumes is the last seq that a volume holds, 0 if none holds any.
func (e *epoch) inVolumes() (last uint64) {
	for _, s := range e.spans {
		last = max(last, s.last)
	}
	return last
}

// index notes that the volume holds r.
func (v *volume) index(e *epoch, r *record) {
	e.insert(span{r.First, r.Last(), v})
	if r.gap == "" {
		v.newest = r.BlockHeader
		if v.oldest.N == 0 {
			v.oldest = r.BlockHeader
		}
	}
}

func compareOrdinal(e *epoch, ordinal uint64) int {
	switch {
	case e.ordinal < ordinal:
		return -1
	case e.ordinal > ordinal:
		return 1
	}
	return 0
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

// misplaced tells of a run that stands under the ordinal of another epoch.
func (s *Store) misplaced(r run) bool {
	if r.id == (gateway.EpochID{}) {
		return false // gaps alone, which do not name it
	}
	if i, known := slices.BinarySearchFunc(s.order, r.ordinal, compareOrdinal); known {
		return s.order[i].ID != r.id
	}
	return s.epochs[r.id] != nil
}

// indexVolumeLocked takes a volume into the index.
func (s *Store) indexVolumeLocked(v *volume, runs []run) {
	for _, r := range runs {
		s.indexRun(v, r)
	}
	i, _ := slices.BinarySearchFunc(s.volumes, v, func(a, b *volume) int { return cmp.Compare(a.number, b.number) })
	s.volumes = slices.Insert(s.volumes, i, v)
}

func (s *Store) indexRun(v *volume, r run) {
	i, known := slices.BinarySearchFunc(s.order, r.ordinal, compareOrdinal)
	if !known {
		// an epoch that state.db does not know: an older copy, or a new file
		e := &epoch{ordinal: r.ordinal, entry: entry{ID: r.id, Volume: v.number, AtMost: gateway.AtMostUnknown}}
		s.adopt(e)
	}
	e := s.order[i]
	if r.last < r.first {
		return
	}
	if !known {
		e.Opened = r.newest.T0
	}
	e.Anchor = r.newest.Anchor
	e.insert(span{r.first, r.last, v})
	if r.last >= e.Last {
		e.Last, e.LastAt = r.last, r.newest.T1
	}
	v.newest = r.newest
	if v.oldest.N == 0 {
		v.oldest = r.oldest
	}
	v.thinned = v.oldest.Thinned || v.newest.Thinned
}

// dropVolumeLocked takes a volume out of the index.
func (s *Store) dropVolumeLocked(v *volume) (known bool) {
	for i := range s.volumes {
		if s.volumes[i] == v {
			s.volumes = append(s.volumes[:i:i], s.volumes[i+1:]...)
			known = true
			break
		}
	}
	for _, e := range s.order {
		e.remove(v)
	}
	return known
}
