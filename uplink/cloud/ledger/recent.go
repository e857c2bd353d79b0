package ledger

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	lastRecords = 256 // of the newest records of a gateway, at least as many are looked at for last values
	lastEpochs  = 8
)

// Newest gives the newest valid records of the gateway, those of its last epochs,
// the oldest first.
func (b *Gateway) Newest(ctx context.Context) (iter.Seq2[record.Record, error], error) {
	from, err := b.recent(ctx)
	if err != nil {
		return nil, err
	}
	return b.Records(ctx, []Stretch{{from, b.checkpoint.Seq}}), nil
}

// recent gives where in the log the newest records of a gateway begin: that of
// a valid one.
func (b *Gateway) recent(ctx context.Context) (uint64, error) {
	var accounts []*account
	for _, a := range b.sorted() {
		if a.From > 0 && a.Line == b.checkpoint.Line {
			accounts = append(accounts, a)
		}
	}
	slices.SortFunc(accounts, func(x, y *account) int { return cmp.Compare(y.Seq, x.Seq) })
	from, n := b.checkpoint.Seq, uint64(0)
	for i, a := range accounts {
		if n >= lastRecords || i == lastEpochs {
			break
		}
		first, some, err := b.tail(ctx, a)
		if err != nil {
			return 0, err
		}
		from, n = min(from, first), n+some
	}
	return from, nil
}

// tail gives where the newest records of an epoch begin, and how many they are.
func (b *Gateway) tail(ctx context.Context, a *account) (first, n uint64, err error) {
	if a.Records <= lastRecords {
		return a.From, a.Records, nil
	}
	full := a.full
	if len(full) == 0 {
		var ix index
		if _, err := b.read(ctx, b.indexKey(a.Epoch), &ix); err != nil {
			return 0, 0, err
		}
		if ix.Line == a.indexLine() {
			full = ix.Segments
		}
	}
	if len(full) == 0 {
		return a.From, a.Records, nil
	}
	s := full[len(full)-1]
	return s.First, s.N + a.Tail.N, nil
}
