package store

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
)

// Next gives what stands at seq of an epoch: readings, the gap in their place
// or, behind the last, the epoch's end. What it gives begins at seq, and
// readings take at most maxBytes (0: no bound). A whole stored block is given
// byte for byte; from the middle of one, and where it would be too big, a part
// is encoded anew. From the head it gives what is there now. Only in the
// growing epoch it waits, for the next reading. The error is ErrEpoch,
// ErrTooSmall, ErrClosed, that of ctx, or that of the card.
func (s *Store) Next(ctx context.Context, id gateway.EpochID, seq uint64, maxBytes int) (gateway.Block, error) {
	for {
		b, wait, err := s.look(id, max(seq, 1), maxBytes)
		if err != nil {
			return b, fmt.Errorf("next of epoch %v at %d: %w", id, seq, err)
		}
		if wait == nil {
			s.gave(b)
			return b, nil
		}
		select {
		case <-ctx.Done():
			return b, ctx.Err()
		case <-s.closed:
			return b, ErrClosed
		case <-wait:
		}
	}
}

// gave notes what may be under way to the cloud.
func (s *Store) gave(b gateway.Block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.epochs[b.Epoch]; e != nil && b.Data != nil {
		e.given = max(e.given, b.Last())
	}
}

// look gives what stands at seq, or what to wait for.
func (s *Store) look(id gateway.EpochID, seq uint64, maxBytes int) (b gateway.Block, wait chan struct{}, err error) {
	anchor := s.o.Clock.Anchor()
	s.mu.Lock()
	e := s.epochs[id]
	switch {
	case s.ended:
		err = ErrClosed
	case e == nil:
		err = ErrEpoch
	case e.forgotten(seq).N > 0:
		g := gateway.Gap{Why: gateway.WhyForgottenAfterAck, T0: e.Opened, T1: max(e.EndAt, e.LastAt), Anchor: e.Anchor}
		b = gateway.Block{Range: e.forgotten(seq), Gap: &g}
	case seq <= e.Dropped:
		g := gateway.Gap{Why: gateway.WhyDropped, T0: e.Opened, T1: max(e.EndAt, e.LastAt), Anchor: e.Anchor}
		b = gateway.Block{Range: gateway.Range{Epoch: id, First: seq, N: e.Dropped + 1 - seq}, Gap: &g}
	case seq <= e.Last:
		return s.lookOnCardLocked(e, seq, maxBytes)
	case e.head != nil && seq <= e.head.last:
		return s.lookInHeadLocked(e, seq, maxBytes)
	case e.head != nil:
		wait = s.arrivalLocked()
	case e.Growth == gateway.OpenEnded && s.maybeUnreadLocked(e):
		err = s.unreadLocked(gateway.Range{Epoch: id, First: seq})
	default:
		e.locate(anchor)
		b = gateway.Block{Range: gateway.Range{Epoch: id, First: e.end() + 1}, End: e.ending()}
	}
	s.mu.Unlock()
	return b, wait, err
}

// lookInHeadLocked gives readings of the head, or the gap before them that is
// not on the card yet. It unlocks mu.
func (s *Store) lookInHeadLocked(e *epoch, seq uint64, maxBytes int) (gateway.Block, chan struct{}, error) {
	r, h := gateway.Range{Epoch: e.ID, First: seq}, e.head
	if seq < h.first {
		r.N = h.first - seq
		g := gateway.Gap{Why: gateway.WhyCardFailed, T0: h.dropped0, T1: h.dropped1, Anchor: e.Anchor}
		s.mu.Unlock()
		return gateway.Block{Range: r, Gap: &g}, nil, nil
	}
	rs := h.copy(make([]gateway.Reading, 0, min(blockReadings, h.last+1-seq)), seq, blockReadings)
	s.mu.Unlock()
	anchor := s.anchored(e)
	s.encMu.Lock()
	defer s.encMu.Unlock()
	data, n, err := fit(s.enc, gateway.BlockHeader{Range: r, Anchor: anchor}, rs, maxBytes)
	r.N = uint64(n)
	return gateway.Block{Range: r, Data: data}, nil, err
}

// lookOnCardLocked gives a block from a volume or the journal, or the gap
// where it should be. It unlocks mu.
func (s *Store) lookOnCardLocked(e *epoch, seq uint64, maxBytes int) (gateway.Block, chan struct{}, error) {
	in, next := e.find(seq)
	if p := s.journal.find(e.ordinal, seq); p != nil && len(in) == 0 {
		s.mu.Unlock()
		b, err := s.part(p.record(), seq, maxBytes)
		return b, nil, err
	}
	if next == 0 {
		next = e.Last + 1
	}
	for _, p := range s.journal.of(e.ordinal) {
		if p.First > seq {
			next = min(next, p.First)
		}
	}
	gap := gateway.Gap{Why: gateway.WhyUnknown, T0: e.Opened, T1: e.LastAt, Anchor: e.Anchor}
	missing := gateway.Range{Epoch: e.ID, First: seq, N: next - seq}
	var unread error
	if s.maybeUnreadLocked(e) {
		unread = s.unreadLocked(missing)
	}
	s.mu.Unlock()
	for _, sp := range in {
		r, err := s.readRecord(sp.volume, e.ordinal, seq)
		if err != nil && !isDamage(err) {
			return gateway.Block{}, nil, err
		}
		if err == nil && r.N > 0 {
			r.Epoch = e.ID // a gap's record does not name it
			b, err := s.part(r, seq, maxBytes)
			return b, nil, err
		}
	}
	if len(in) > 0 { // all of them are salvaged now: in what is left something else stands here
		return s.look(e.ID, seq, maxBytes)
	}
	if unread != nil {
		return gateway.Block{}, nil, unread
	}
	return gateway.Block{Range: missing, Gap: &gap}, nil, nil
}

// readRecord reads what covers seq in a volume. A volume that turns out to be
// damaged is salvaged.
func (s *Store) readRecord(v *volume, ordinal, seq uint64) (r record, err error) {
	err = s.shelf.read(v, func(b *bbolt.Bucket) (err error) {
		if b == nil {
			return fmt.Errorf("%w: no bucket of blocks", errDamaged)
		}
		r, err = lookup(b, ordinal, seq)
		return err
	})
	if isDamage(err) {
		s.salvageUnlessForgotten(v, ordinal, seq, err)
	}
	return r, err
}

// salvageUnlessForgotten saves what is left of a volume that was readable at
// the opening, unless what was looked for is not there on purpose.
func (s *Store) salvageUnlessForgotten(v *volume, ordinal, seq uint64, err error) {
	s.writeMu.Lock() // it may be the one being written
	defer s.writeMu.Unlock()
	s.mu.Lock()
	i, known := slices.BinarySearchFunc(s.order, ordinal, compareOrdinal)
	forgotten := !known || seq <= max(s.order[i].Forgotten, s.order[i].Dropped)
	s.mu.Unlock()
	if !forgotten {
		s.saveWhatIsLeft(v, err)
	}
}

// saveWhatIsLeft salvages a volume of the index. The caller holds writeMu.
func (s *Store) saveWhatIsLeft(v *volume, err error) {
	s.mu.Lock()
	known := s.dropVolumeLocked(v)
	if s.current == v {
		s.current = nil
	}
	s.mu.Unlock()
	if !known {
		return // another reader was first
	}
	s.salvage(v, err)
}

// part gives a record from seq on.
func (s *Store) part(r record, seq uint64, maxBytes int) (gateway.Block, error) {
	whole := r.Range
	b := gateway.Block{Range: gateway.Range{Epoch: r.Epoch, First: seq, N: whole.Last() + 1 - seq}}
	if r.gap != "" {
		b.Gap = &gateway.Gap{Why: r.gap, T0: r.T0, T1: r.T1, Anchor: r.Anchor}
		return b, nil
	}
	if r.Thinned {
		b.Range, b.Data, b.Thinned = whole, r.value, true
		if maxBytes > 0 && len(r.value) > maxBytes {
			return b, fmt.Errorf("%w: %d, and downsampled readings cannot be parted", ErrTooSmall, maxBytes)
		}
		return b, nil
	}
	if whole.First == seq && (maxBytes <= 0 || len(r.value) <= maxBytes) {
		b.Data = r.value
		return b, nil
	}
	s.encMu.Lock()
	defer s.encMu.Unlock()
	h, rs, err := s.dec.Decode(r.value)
	if err != nil {
		return b, err
	}
	h.First = seq
	data, n, err := fit(s.enc, h, rs[seq-whole.First:], maxBytes)
	b.N, b.Data = uint64(n), data
	return b, err
}
