package store

import (
	"errors"
	"fmt"
	"time"

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

// countCommitLocked counts a write, and takes what is on the card now out of the
// head.
func (s *Store) countCommitLocked(e *epoch, written int64, d time.Duration) {
	if e.head != nil {
		e.head.forget(e.Last)
	}
	s.metrics.written += uint64(written)
	s.metrics.commits++
	s.metrics.lastCommit = d
	s.metrics.longest = max(s.metrics.longest, d)
	s.flushedLocked()
}
