package store

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// toVolume commits what the journal and the head hold, all of it or only
// whole blocks. Then the journal is empty, or holds only what came behind
// the whole blocks.
func (s *Store) toVolume(all bool) error {
	for _, e := range s.unstored() {
		if err := s.epochToVolume(e, all || e != s.growing); err != nil {
			return err
		}
	}
	s.recovered = false
	return s.learnRisk()
}

// unstored gives the epochs that have readings outside of volumes. Those of
// which a part may be in a volume that cannot be read stay in the journal: in a
// volume a gap would stand before them.
func (s *Store) unstored() (list []*epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		if e.head != nil || len(s.journal.of(e.ordinal)) > 0 && !s.maybeUnreadLocked(e) {
			list = append(list, e)
		}
	}
	return list
}

func (s *Store) epochToVolume(e *epoch, all bool) error {
	s.mu.Lock()
	upto := s.lastLocked(e)
	s.mu.Unlock()
	for {
		if s.nothingOutside(e, upto, all) {
			return nil
		}
		if err := s.makeRoom(commitRoom); err != nil {
			return err // before anything is encoded for it
		}
		records, err := s.gather(e, upto, all)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := s.makeRoom(needOf(records)); err != nil {
			return err
		}
		v, err := s.volumeFor()
		if err != nil {
			return err
		}
		// One transaction. If power dies in it, the journal still has the
		// readings; if it dies behind it, both have them, and the volume counts.
		// After an error nobody knows which: the volume gets nothing more, and
		// the readings stay where they were until another volume has them.
		began := time.Now()
		if err := s.shelf.put(v, records); err != nil {
			s.abandonVolume(v)
			return err
		}
		s.noteRecords(e, v, records, time.Since(began))
		s.volumeHadRoom()
	}
}

// nothingOutside tells whether a volume has no more to get of an epoch.
func (s *Store) nothingOutside(e *epoch, upto uint64, all bool) bool {
	from := s.firstOutside(e)
	return from > upto || !all && upto+1-from < blockReadings
}

// gather makes the next records of an epoch for a volume, at most
// commitBlocks, none beyond upto.
func (s *Store) gather(e *epoch, upto uint64, all bool) ([]record, error) {
	now := s.anchored(e)
	s.encMu.Lock()
	defer s.encMu.Unlock()
	var records []record
	for from := s.firstOutside(e); from <= upto && len(records) < commitBlocks; {
		n := min(blockReadings, upto+1-from)
		if !all && n < blockReadings {
			break
		}
		r, err := s.nextRecord(e, gateway.Range{Epoch: e.ID, First: from, N: n}, now)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		from = r.Last() + 1
	}
	return records, nil
}

// firstOutside is the first reading of an epoch that no volume holds.
func (s *Store) firstOutside(e *epoch) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.journal.of(e.ordinal); len(own) > 0 {
		return max(own[0].First, e.inVolumes()+1)
	}
	return e.Last + 1
}

// nextRecord makes the record that begins a range: a block, or the gap that
// stands there. The caller holds encMu.
func (s *Store) nextRecord(e *epoch, in gateway.Range, now gateway.Anchor) (record, error) {
	r := record{ordinal: e.ordinal}
	rs, anchor, err := s.readings(e, in.First, int(in.N))
	if err != nil {
		return r, err
	}
	if len(rs) == 0 {
		return s.nextGap(e, in, now)
	}
	if anchor.Boot == now.Boot {
		anchor = now
	}
	r.Range, r.Anchor = in, anchor
	if r.value, _, err = fit(s.enc, r.BlockHeader, rs, 0); err != nil {
		return r, err
	}
	r.BlockHeader, err = block.Parse(r.value)
	return r, err
}

// nextGap makes the record of what is missing where a range begins: readings
// that the head dropped, or that were damaged in the journal.
func (s *Store) nextGap(e *epoch, in gateway.Range, now gateway.Anchor) (record, error) {
	s.mu.Lock()
	g := gateway.Gap{Why: gateway.WhyUnknown, T0: e.Opened, T1: e.LastAt, Anchor: e.Anchor}
	next := in.Last() + 1
	if h := e.head; h != nil && h.first > in.First && h.dropped1 != 0 {
		next = min(next, h.first)
		g = gateway.Gap{Why: gateway.WhyCardFailed, T0: h.dropped0, T1: h.dropped1, Anchor: now}
	}
	for _, p := range s.journal.of(e.ordinal) {
		if p.First > in.First && p.First < next {
			next = p.First
		}
	}
	s.mu.Unlock()
	in.N = next - in.First
	return newGap(e.ordinal, in, g)
}

// volumeFor gives the volume to write to: a new one if there is none, or it
// has enough.
func (s *Store) volumeFor() (*volume, error) {
	v, now := s.current, time.Since(s.start)
	if v != nil && v.blocks < s.volumeLimit() && now-v.made < volumeAge {
		return v, nil
	}
	if v != nil {
		s.sealCurrent()
	}
	v, err := s.shelf.create(s.nextVolume)
	if err != nil {
		return nil, err
	}
	s.nextVolume++
	v.made = now
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = v
	s.volumes = append(s.volumes, v)
	return v, nil
}

// sealCurrent closes the volume being written, if there is one, for good.
func (s *Store) sealCurrent() {
	v := s.current
	if v == nil {
		return
	}
	if err := s.shelf.seal(v); err != nil {
		s.o.Log.Warn("a full volume could not be cut to its length; it takes more of the card "+
			"than it needs", "file", v.path, "error", err)
	}
	size, err := sizeOnCard(v.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	if err == nil {
		v.bytes = size
	}
}

// abandonVolume stops writing a volume; if it holds nothing that is known to
// be on the card, it is deleted.
func (s *Store) abandonVolume(v *volume) {
	s.shelf.retire(v)
	s.mu.Lock()
	s.current = nil
	empty := v.blocks == 0
	if empty {
		s.dropVolumeLocked(v)
	}
	s.mu.Unlock()
	if empty {
		_ = s.shelf.remove(v)
		s.nextVolume = v.number // or the next start would miss this one
	}
}

// noteRecords notes that records are in a volume.
func (s *Store) noteRecords(e *epoch, v *volume, records []record, d time.Duration) {
	size, err := sizeOnCard(v.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.riskLocked()
	if err == nil {
		v.bytes = size
	}
	written := int64(0)
	for i := range records {
		r := &records[i]
		v.index(e, r)
		written += int64(len(r.value))
		if r.Last() > e.Last {
			e.Last, e.LastAt = r.Last(), r.T1
		}
	}
	v.blocks += written
	s.journal.drop(e.ordinal, e.inVolumes())
	s.unsaved = s.unsaved || v.number > e.Filled
	e.Filled = v.number
	s.countCommitLocked(e, written, d)
}
