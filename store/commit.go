package store

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

const (
	blockReadings = 16384          // readings in a block of a volume, as a rule
	commitBlocks  = 16             // blocks in one commit at most
	volumeBytes   = 16 << 20       // a volume gets no more once it has so many bytes of blocks …
	volumeAge     = 24 * time.Hour // … or is so old
)

func isNoJournal(err error) bool { return errors.Is(err, errNoJournal) }

// write makes durable what came up to upto: in a volume if it is time for one
// and there is room, else in the journal. whole asks for no more than whole
// blocks in the volume.
func (s *Store) write(e *epoch, upto uint64, volume, whole bool) error {
	if volume && s.volumeMay() {
		err := s.toVolume(!whole)
		if !isNoRoom(err) {
			return err
		}
		s.volumeRefused(err)
	}
	if upto <= e.Last {
		return nil // what waits for a volume is in the journal
	}
	return s.toJournal(e, upto)
}

// toJournal makes the head's readings up to upto durable in the journal:
// they join the open block, which goes on in further slots when one is full.
// When the journal has enough they go on into a volume. If there is room for
// none, the journal takes as many as it has slots for.
func (s *Store) toJournal(e *epoch, upto uint64) error {
	pieces, err := s.makePieces(e, upto)
	if err != nil {
		return err
	}
	began := time.Now()
	n, err := s.fitJournal(len(pieces))
	if n < len(pieces) && s.volumeMay() {
		verr := s.toVolume(true)
		if !isNoRoom(verr) {
			return verr
		}
		s.volumeRefused(verr)
		if upto <= e.Last {
			return nil // there was room for these, and none for what came behind
		}
		return s.toJournal(e, upto) // slots may be free now
	}
	if n > 0 && pieces[n-1].Last() <= e.Last { // no more than the open block, which is full
		s.sealOpen()
		return s.toJournal(e, upto)
	}
	if n == 0 {
		return err
	}
	if err := s.journal.add(pieces[:n]); err != nil {
		return err
	}
	if n < len(pieces) {
		err = fmt.Errorf("the journal is full, and there is no room for a volume: %w", unix.ENOSPC)
	}
	return errors.Join(err, s.tookPieces(e, pieces[:n], began))
}

// sealOpen has the next readings begin a piece of their own in the journal.
func (s *Store) sealOpen() {
	s.mu.Lock()
	s.journal.open = nil
	s.mu.Unlock()
}

// fitJournal tells how many of n pieces the journal takes now. It keeps a slot
// for the next version of the open block, unless the store closes or what goes
// there is full. The error says why it takes none.
func (s *Store) fitJournal(n int) (int, error) {
	if err := s.journal.ready(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	room := s.journal.room()
	s.mu.Unlock()
	switch {
	case n <= room && (s.lastly || n < room || s.journal.open != nil):
		return n, nil
	case !s.lastly:
		n-- // the last one is not full
	}
	if n = min(n, room); n == 0 {
		return 0, fmt.Errorf("%w: %d pages are free, and there is no room for a volume: %w", errNoJournal, room, unix.ENOSPC)
	}
	return n, nil
}

// tookPieces notes that pieces are in the journal. If that has enough now, all
// of it goes into a volume.
func (s *Store) tookPieces(e *epoch, pieces []*piece, began time.Time) error {
	s.mu.Lock()
	s.riskLocked()
	first, last := pieces[0], pieces[len(pieces)-1]
	hole := first.First > e.Last+1
	s.journal.took(pieces)
	e.Last, e.LastAt = last.Last(), last.T1
	s.tookLocked(e, int64(len(pieces))*slotSize, time.Since(began))
	full := s.journal.readings() >= blockReadings || len(s.journal.pieces) > journalSlots/2
	s.mu.Unlock()
	if hole { // of the last flush alone nothing behind a hole counts: this is not the last one any more
		if err := s.markEpoch(); err != nil {
			return err
		}
	}
	if full && s.volumeMay() {
		err := s.toVolume(true)
		if !isNoRoom(err) {
			return err
		}
		s.volumeRefused(err)
	}
	return s.learnRisk()
}

// makePieces encodes the open block and what comes behind it.
func (s *Store) makePieces(e *epoch, upto uint64) ([]*piece, error) {
	h := gateway.BlockHeader{Anchor: s.anchored(e)}
	h.Epoch = e.ID
	s.mu.Lock()
	from := e.Last + 1
	if e.head != nil {
		from = max(from, e.head.first) // before it a gap
	}
	open := s.journal.open
	if open != nil && (open.ordinal != e.ordinal || open.Last()+1 != from) {
		s.journal.open, open = nil, nil
	}
	if open != nil {
		from = open.First
	}
	s.mu.Unlock()
	s.encMu.Lock()
	defer s.encMu.Unlock()
	rs, _, err := s.readings(e, from, int(upto+1-from))
	if err != nil {
		return nil, err
	}
	var pieces []*piece
	for try := len(rs); len(rs) > 0; {
		h.First = from
		data, n, err := fit(s.enc, h, rs[:min(try, len(rs))], slotRoom)
		if err != nil {
			return nil, err
		}
		p := &piece{ordinal: e.ordinal, data: data}
		if p.BlockHeader, err = block.Parse(data); err != nil {
			return nil, err
		}
		pieces = append(pieces, p)
		from, rs = from+uint64(n), rs[n:]
		try = n + n/8 // the next slot takes about as many
	}
	if open != nil && len(pieces) > 1 && pieces[0].Last() == open.Last() { // it was full
		s.sealOpen()
		pieces = pieces[1:]
	}
	return pieces, nil
}

// readings gathers up to n readings of an epoch beginning at from, out of the
// journal and then the head, as far as no gap is between them; and the anchor
// of those of the journal. The caller holds encMu; what is given is valid
// until the next call.
func (s *Store) readings(e *epoch, from uint64, n int) ([]gateway.Reading, gateway.Anchor, error) {
	s.scratch = s.scratch[:0]
	s.mu.Lock()
	anchor := e.Anchor
	s.mu.Unlock()
	for len(s.scratch) < n {
		seq := from + uint64(len(s.scratch))
		s.mu.Lock()
		p := s.journal.find(e.ordinal, seq)
		if p == nil {
			if e.head != nil && seq >= e.head.first {
				s.scratch = e.head.copy(s.scratch, seq, n-len(s.scratch))
			}
			s.mu.Unlock()
			return s.scratch, anchor, nil
		}
		s.mu.Unlock()
		h, rs, err := s.dec.Decode(p.data)
		if err != nil {
			return nil, anchor, err
		}
		anchor = h.Anchor
		rs = rs[seq-h.First:]
		s.scratch = append(s.scratch, rs[:min(len(rs), n-len(s.scratch))]...)
	}
	return s.scratch, anchor, nil
}

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
		if e.head != nil || len(s.journal.of(e.ordinal)) > 0 && !s.heldBackLocked(e) {
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
		began := time.Now()
		if err := s.shelf.put(v, records); err != nil {
			s.giveUpVolume(v)
			return err
		}
		s.tookRecords(e, v, records, time.Since(began))
		s.volumeTaken()
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

// fit encodes as many of rs as fit into maxBytes (0: no bound) and into one
// block, and tells how many those are.
func fit(enc *block.Encoder, h gateway.BlockHeader, rs []gateway.Reading, maxBytes int) ([]byte, int, error) {
	for n := len(rs); n > 0; {
		b, err := enc.Append(nil, h, rs[:n])
		switch {
		case errors.Is(err, block.ErrLimit):
			n /= 2
		case err != nil:
			return nil, 0, err
		case maxBytes > 0 && len(b) > maxBytes:
			n = min(n-1, int(int64(n)*int64(maxBytes)/int64(len(b))))
		default:
			return b, n, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: %d", ErrTooSmall, maxBytes)
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
		s.o.Log.Warn("A full volume could not be cut to its length; it takes more of the card than it need.", "file", v.path, "error", err)
	}
	size, err := sizeOnCard(v.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	if err == nil {
		v.bytes = size
	}
}

// giveUpVolume stops writing a volume; if it holds nothing that is known to
// be on the card, it goes.
func (s *Store) giveUpVolume(v *volume) {
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

// tookRecords notes that records are in a volume.
func (s *Store) tookRecords(e *epoch, v *volume, records []record, d time.Duration) {
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
		v.hold(e, r)
		written += int64(len(r.value))
		if r.Last() > e.Last {
			e.Last, e.LastAt = r.Last(), r.T1
		}
	}
	v.blocks += written
	s.journal.drop(e.ordinal, e.inVolumes())
	s.unsaved = s.unsaved || v.number > e.Filled
	e.Filled = v.number
	s.tookLocked(e, written, d)
}

// tookLocked counts a write, and takes what is on the card now out of the
// head.
func (s *Store) tookLocked(e *epoch, written int64, d time.Duration) {
	if e.head != nil {
		e.head.forget(e.Last)
	}
	s.figures.written += uint64(written)
	s.figures.commits++
	s.figures.lastCommit = d
	s.figures.longest = max(s.figures.longest, d)
	s.flushedLocked()
}

// riskLocked counts what a power cut would have cost just before a write
// ended.
func (s *Store) riskLocked() {
	if safe, last := s.safeLocked(), s.growing.head.last; s.retry == 0 && last > safe {
		s.atRisk = max(s.atRisk, last-safe)
	}
}

// hold notes that the volume holds r.
func (v *volume) hold(e *epoch, r *record) {
	e.insert(span{r.First, r.Last(), v})
	if r.gap == "" {
		v.newest = r.BlockHeader
		if v.oldest.N == 0 {
			v.oldest = r.BlockHeader
		}
	}
}
