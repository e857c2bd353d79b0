package uplink

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A request asks a fetcher for what an epoch has from a seq on.
type request struct {
	ctx    context.Context
	cancel context.CancelFunc
	lane   lane
	st     gateway.EpochState
	seq    uint64
	at     time.Time // when it was asked
	most   int       // bytes
	single bool      // one block and no more
	stale  bool      // the cloud's word changed meanwhile: ask anew; owned by the session
}

// A fetched answers a request: consecutive blocks, or one gap, end or thinned
// block.
type fetched struct {
	r      *request
	blocks []gateway.Block
	err    error
}

// fetcher waits for the store, one request after the other. What did not fit
// into an answer is the beginning of the next.
func (s *session) fetcher(ctx context.Context, want <-chan *request) {
	var spare *gateway.Block
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-want:
			f := fetched{r: r}
			f.blocks, spare, f.err = s.gather(r, spare)
			select {
			case s.got <- f:
			case <-ctx.Done():
				return
			}
		}
	}
}

// gather takes blocks from the store as long as they follow each other, are
// there, and fit. An error behind the first is for the next request.
func (s *session) gather(r *request, spare *gateway.Block) (blocks []gateway.Block, rest *gateway.Block, err error) {
	seq, bytes := r.seq, 0
	for {
		var b gateway.Block
		if spare != nil && spare.Epoch == r.st.ID && spare.First == seq {
			b, spare = *spare, nil
		} else if b, err = s.u.o.Source.Next(r.ctx, r.st.ID, seq, r.most); err != nil {
			if len(blocks) > 0 {
				err = nil
			}
			return blocks, nil, err
		}
		plain := b.Data != nil && !b.Thinned
		if len(blocks) > 0 && (!plain || b.First != seq || bytes+len(b.Data) > r.most) {
			return blocks, &b, nil
		}
		blocks = append(blocks, b)
		bytes += len(b.Data) + blockOverhead
		seq = b.Last() + 1
		if !plain || r.single || seq > r.st.Last || len(blocks) == wire.MaxBlocks || bytes >= r.most {
			return blocks, nil, nil
		}
	}
}
