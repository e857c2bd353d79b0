package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// errDamaged: the server has left out a record whose checksum is wrong. It
// says nothing of it (found with nats-server 2.15), but the record behind it
// names it.
var errDamaged = errors.New("a record of the log is damaged, or was deleted by hand")

// A seam looks at every record that is read, in order, whether the one that it
// names as its predecessor was read too.
type seam struct {
	stream jetstream.Stream
	last   map[string]uint64 // place of the newest record by subject
}

func newSeam(s jetstream.Stream) *seam { return &seam{s, map[string]uint64{}} }

// joins gives errDamaged if a record is missing before m. Of the first record
// of a gateway nothing is known: those before it may have been purged. A
// predecessor that is now another gateway's record was lost with the log's
// tail: then m is void, which is for others to see.
func (s *seam) joins(ctx context.Context, m message) error {
	last, known := s.last[m.subject]
	s.last[m.subject] = m.seq
	prev, err := strconv.ParseUint(m.header.Get(headerPrevSeq), 10, 64)
	if err != nil || !known || prev <= last || prev >= m.seq {
		return nil
	}
	_, err = s.stream.GetMsg(ctx, prev)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("record %d of %s: %w", prev, m.subject, errDamaged)
	}
	return err
}
