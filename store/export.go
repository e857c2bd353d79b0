package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// A Stretch is what Walk comes upon: readings, downsampled readings, or the gap in
// their place; or an epoch's end.
type Stretch struct {
	gateway.Block
	From      uint64 // the walk is here; readings of a downsampled block before it were met themselves
	Header    gateway.BlockHeader
	Readings  []gateway.Reading // valid until the next stretch
	Summaries []gateway.Summary
	Unread    error // why what stands here cannot be read now; it is not lost. With N 0 it is the epoch's end
}

// Walk goes along an epoch from its first reading that is still accounted for
// to its end; what cannot be read now is passed over. each gets, in order, what stands there; and at last the epoch's
// end, unless it still grows.
func (s *Store) Walk(ctx context.Context, id gateway.EpochID, each func(Stretch) error) error {
	dec := block.NewDecoder()
	for seq := uint64(1); ; {
		b, wait, err := s.look(id, seq, 0)
		var unread *unreadError
		if errors.As(err, &unread) {
			b, err = gateway.Block{Range: unread.Range}, nil
		}
		if err != nil {
			return fmt.Errorf("walk epoch %v at %d: %w", id, seq, err)
		}
		if wait != nil {
			return nil
		}
		st := Stretch{Block: b, From: seq}
		switch {
		case unread != nil:
			st.Unread = unread.cause
		case b.Thinned:
			st.Header, st.Summaries, err = dec.Summaries(b.Data)
		case b.Data != nil:
			st.Header, st.Readings, err = dec.Decode(b.Data)
		}
		if err != nil {
			return fmt.Errorf("walk epoch %v at %d: %w", id, seq, err)
		}
		if err := each(st); err != nil || b.End != nil || b.N == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		seq = b.Last() + 1
	}
}
