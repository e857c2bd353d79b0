package cloud

import (
	"fmt"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// Wall times outside of these are wrong, whatever the gateway's clock claims.
var (
	earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	ahead    = 24 * time.Hour
)

// decoders are shared, because one keeps large buffers and most sessions are
// idle most of the time.
var decoders = sync.Pool{New: func() any { return block.NewDecoder() }}

// A flaw is what is wrong with an update, and the code of its nack.
type flaw struct {
	code wire.NackCode
	err  error
}

func (f *flaw) Error() string { return f.err.Error() }
func (f *flaw) Unwrap() error { return f.err }

// checkBlocks decodes every block of an update: what is acknowledged can be
// read by all who come later.
func checkBlocks(u *wire.Update, now time.Time) *flaw {
	d := decoders.Get().(*block.Decoder)
	defer decoders.Put(d)
	if u.Thinned != nil {
		return checkThinned(d, u, now)
	}
	next := u.First
	for i, b := range u.Blocks {
		h, rs, err := d.Decode(b)
		if err != nil {
			return &flaw{wire.NackBlock, fmt.Errorf("block %d: %w", i, err)}
		}
		if h.Epoch != u.Epoch || h.First != next || h.N != uint64(len(rs)) || h.N == 0 || h.N > wire.MaxBlockN {
			return &flaw{wire.NackBlock, fmt.Errorf("block %d holds %d readings from %d of epoch %s, not what comes at %d", i, h.N,
				h.First, h.Epoch, next)}
		}
		if err := checkTimes(h, now); err != nil {
			return &flaw{wire.NackTime, fmt.Errorf("block %d: %w", i, err)}
		}
		next += h.N
	}
	if u.Gap == nil && next != u.First+u.N {
		return &flaw{wire.NackBlock, fmt.Errorf("the blocks hold %d readings, the update says %d", next-u.First, u.N)}
	}
	return nil
}

// checkThinned reads a thinned block.
func checkThinned(d *block.Decoder, u *wire.Update, now time.Time) *flaw {
	h, _, err := d.Summaries(u.Thinned)
	if err != nil {
		return &flaw{wire.NackBlock, fmt.Errorf("thinned block: %w", err)}
	}
	if h.Epoch != u.Epoch || h.First != u.First || h.N != u.N {
		return &flaw{wire.NackBlock, fmt.Errorf("thinned block stands for %d readings from %d of epoch %s, not for %d from %d", h.N,
			h.First, h.Epoch, u.N, u.First)}
	}
	if err := checkTimes(h, now); err != nil {
		return &flaw{wire.NackTime, fmt.Errorf("thinned block: %w", err)}
	}
	return nil
}

func checkTimes(h gateway.BlockHeader, now time.Time) error {
	if h.Anchor.Quality == gateway.ClockNone {
		return nil
	}
	t0, t1 := h.Anchor.Wall(h.T0), h.Anchor.Wall(h.T1)
	if t0.Before(earliest) || t1.After(now.Add(ahead)) {
		return fmt.Errorf("times from %s to %s with clock quality %s", t0, t1, h.Anchor.Quality)
	}
	return nil
}
