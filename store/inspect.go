package store

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// noWrites is a card that takes nothing.
type noWrites struct{}

func (noWrites) Do(Step, func() error) error { return unix.EROFS }

// Inspect opens the store in o.Dir to look at it: nothing is written, nothing
// is deleted, and the folder may be a copy on a card that is read-only. The
// growing epoch that it shows is its own and holds nothing. The error is
// ErrLocked while a gateway runs on the folder, or ErrVersion. Close it with
// Leave.
func Inspect(o Options) (*Store, error) {
	o.Card = noWrites{}
	o.readOnly = true
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("inspect store: %w", err)
	}
	s, err := open(o)
	if err != nil {
		s.release()
		return nil, fmt.Errorf("inspect store: %w", err)
	}
	s.beginLocked() // nobody else knows of s yet
	return s, nil
}

// Leave ends an inspection.
func (s *Store) Leave() {
	s.mu.Lock()
	s.ended = true
	close(s.closed)
	s.mu.Unlock()
	s.shelf.closeAll()
	_ = s.state.close() // it was only read
	s.release()
}

// A Stretch is what Walk comes upon: readings, thinned readings, or the gap in
// their place; or an epoch's end.
type Stretch struct {
	gateway.Block
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
		st := Stretch{Block: b}
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
