package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

const (
	commitBlocks = 16                     // blocks in one commit at most
	volumeBytes  = 16 << 20               // a volume gets no more once it has so many bytes of blocks …
	volumeAge    = 24 * time.Hour         // … or is so old
	retryFirst   = 500 * time.Millisecond // after a failed write; doubled up to
	retryMost    = 30 * time.Second
	idle         = time.Duration(math.MaxInt64)
)

// work does what is due on the card.
func (s *Store) work() {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.untilDue() <= 0 {
		if err := s.commitAll(); err != nil {
			s.cardFailed(err)
		} else {
			s.cardWorks()
		}
	}
	s.forgetWhatMay() // a full card too: that makes the room
}

// Flush commits what is in the head now, whether it is due or not.
func (s *Store) Flush() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.commitAll(); err != nil {
		s.cardFailed(err)
		return fmt.Errorf("flush: %w", err)
	}
	s.cardWorks()
	return nil
}

// untilDue is how long until the next commit.
func (s *Store) untilDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.start)
	due := s.dueLocked(now)
	if due == idle {
		return idle
	}
	return max(due, s.retryAt) - now
}

// dueLocked says when the head is to be committed. The oldest reading that
// the cloud has not acknowledged counts, and only at level fsynced does an ack
// give the longer time.
func (s *Store) dueLocked(now time.Duration) time.Duration {
	h := &s.head
	if h.len() >= blockReadings || s.figures.failing {
		return now
	}
	if h.last == s.growing.Last {
		return idle
	}
	due := h.get(h.first).came + s.o.HistoryFlush
	unacked := max(h.first, s.safeLocked()+1)
	if unacked <= h.last {
		due = min(due, h.get(unacked).came+s.o.FlushInterval)
	}
	return due
}

// commitAll commits everything that is in the head now. The caller holds
// writeMu.
func (s *Store) commitAll() error {
	s.mu.Lock()
	upto := s.head.last
	s.mu.Unlock()
	if err := s.saveNewEpoch(); err != nil {
		return err
	}
	for s.committed() < upto {
		if err := s.commitSome(upto); err != nil {
			return err
		}
	}
	if time.Since(s.start)-s.savedAt >= s.o.HistoryFlush || len(s.doomed) > 0 {
		return s.saveState() // acks and the cloud's time ride along
	}
	return nil
}

// saveNewEpoch sees to it that the entry of this opening's epoch is durable
// before its first reading is.
func (s *Store) saveNewEpoch() error {
	if s.state.holds(s.growing.ordinal) {
		return nil
	}
	return s.saveState()
}

// committed is the last seq of the growing epoch on the card.
func (s *Store) committed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.growing.Last
}

// commitSome commits up to commitBlocks blocks, the first behind what is on
// the card, the last not beyond upto.
func (s *Store) commitSome(upto uint64) error {
	records, err := s.encodeSome(s.committed()+1, upto)
	if err != nil {
		return err
	}
	v, err := s.volumeFor()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.shelf.put(v, records); err != nil {
		s.giveUpVolume(v)
		return fmt.Errorf("commit to %s: %w", v.path, err)
	}
	s.took(v, records, time.Since(began))
	return s.learnRisk()
}

// encodeSome turns readings of the head into records.
func (s *Store) encodeSome(from, upto uint64) ([]record, error) {
	s.encMu.Lock()
	defer s.encMu.Unlock()
	var records []record
	for len(records) < commitBlocks && from <= upto {
		r, err := s.encodeNext(from, upto)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		from = r.Last() + 1
	}
	return records, nil
}

// encodeNext makes the record that begins at from: a block of the head, or
// the gap that the head left there. The caller holds encMu.
func (s *Store) encodeNext(from, upto uint64) (record, error) {
	anchor := s.o.Clock.Anchor()
	s.mu.Lock()
	e := s.growing
	e.Anchor = anchor
	r := record{ordinal: e.ordinal}
	r.Range = gateway.Range{Epoch: e.ID, First: from}
	if from < s.head.first {
		r.N = s.head.first - from
		g := gateway.Gap{Why: gateway.WhyCardFailed, T0: s.head.dropped0, T1: s.head.dropped1, Anchor: anchor}
		s.mu.Unlock()
		return newGap(e.ordinal, r.Range, g)
	}
	s.scratch = s.head.copy(s.scratch[:0], from, int(min(blockReadings, upto+1-from)))
	s.mu.Unlock()
	r.Anchor = anchor
	b, _, err := fit(s.enc, r.BlockHeader, s.scratch, 0)
	if err != nil {
		return r, err
	}
	r.value = b
	r.BlockHeader, err = block.Parse(b)
	return r, err
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
		s.shelf.retire(v)
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

// took notes that records are on the card.
func (s *Store) took(v *volume, records []record, d time.Duration) {
	info, err := os.Stat(v.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		v.bytes = onCard(info)
	}
	e := s.growing
	if safe := s.safeLocked(); s.retry == 0 && s.head.last > safe {
		s.atRisk = max(s.atRisk, s.head.last-safe)
	}
	for i := range records {
		r := &records[i]
		v.hold(e, r)
		v.blocks += int64(len(r.value))
		s.figures.written += uint64(len(r.value))
		e.Last, e.LastAt = r.Last(), r.T1
	}
	s.unsaved = s.unsaved || v.number > e.Filled
	e.Filled = v.number
	s.head.forget(e.Last)
	s.figures.commits++
	s.figures.lastCommit = d
	s.figures.longest = max(s.figures.longest, d)
}

// hold notes that the volume holds r.
func (v *volume) hold(e *epoch, r *record) {
	e.insert(span{r.First, r.Last(), v})
	if r.gap == "" {
		v.newest = r.BlockHeader
	}
}

// learnRisk saves what has to be known after a power cut, if the commit that
// just ended changed it: that a volume has readings now, and a higher bound on
// what a cut can cost, if more than the present one waited for the commit.
func (s *Store) learnRisk() error {
	s.mu.Lock()
	more := s.atRisk > s.growing.AtMost
	if more {
		s.growing.AtMost = s.atRisk + s.atRisk/4
	}
	more = more || s.unsaved
	s.mu.Unlock()
	if !more {
		return nil
	}
	err := s.saveState()
	if err == nil {
		s.mu.Lock()
		s.unsaved = false
		s.mu.Unlock()
	}
	return err
}

// saveState makes epochs, acks and facts durable. The caller holds writeMu.
func (s *Store) saveState() error {
	s.mu.Lock()
	f, entries := s.facts, make(map[uint64]entry, len(s.order))
	for _, e := range s.order {
		entries[e.ordinal] = e.entry
	}
	s.mu.Unlock()
	wrote, err := s.state.save(f, entries)
	if err == nil {
		s.savedAt = time.Since(s.start)
	}
	if wrote {
		s.mu.Lock()
		s.figures.commits++
		s.mu.Unlock()
	}
	return err
}

// cardFailed tells that a write failed and puts the next one off.
func (s *Store) cardFailed(err error) {
	s.retry = min(max(2*s.retry, retryFirst), retryMost)
	s.mu.Lock()
	s.retryAt = time.Since(s.start) + s.retry
	s.figures.failing = true
	s.mu.Unlock()
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"Readings cannot be written to %s (%v). Sampling and sending go on from memory, the newest %d readings are kept; check the card and its free space.",
		s.o.Dir, err, headMax))
}

// cardWorks tells that writing goes well again.
func (s *Store) cardWorks() {
	s.mu.Lock()
	failed := s.figures.failing
	s.retryAt, s.figures.failing = 0, false
	s.mu.Unlock()
	s.retry = 0
	if !failed {
		return
	}
	s.o.Conditions.Clear(ConditionCard, s.o.Dir, "Readings are written to the card again.")
}

// cardHangs tells that a step takes long. Whoever takes it still waits; the
// head goes on in RAM.
func (s *Store) cardHangs(step Step) {
	s.mu.Lock()
	s.figures.failing = true
	s.mu.Unlock()
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"A write to %s has not come back for %v. Sampling and sending go on from memory, the newest %d readings are kept; the card may be worn out, replace it if this comes back.",
		step.Path, hangs, headMax))
}
