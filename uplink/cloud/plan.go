package cloud

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A question is what a reader of lines wants.
type question struct {
	span       timeRange
	epoch      *gateway.EpochID // only this one
	from, to   uint64           // seqs of readings; to 0: no bound
	devices    map[string]bool  // only these; empty: all
	quantities map[string]bool
	readings   bool // and what stands in their place
	events     bool
}

// A stretch is a run of sequences of the log, both ends included.
type stretch struct{ first, last uint64 }

// plan gives where in the log the answer lies, oldest first. Each stretch
// begins with a valid record.
func (b *book) plan(ctx context.Context, q *question, epochs []epochTime) ([]stretch, error) {
	if q.readings && q.epoch == nil && !q.span.bounded() {
		return []stretch{{0, b.page.Seq}}, nil
	}
	var list []stretch
	for i := range epochs {
		e := &epochs[i]
		if !q.readings || e.From == 0 || q.epoch != nil && e.Epoch != *q.epoch || e.Line != b.page.Line {
			continue
		}
		more, err := b.stretches(ctx, q, e)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if q.events {
		places, err := b.eventPlaces(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if !p.Known || q.span.holds(p.At) {
				list = append(list, stretch{p.Seq, p.Seq})
			}
		}
	}
	return union(list), nil
}

// stretches gives where the records of one epoch lie that may be of this time.
func (b *book) stretches(ctx context.Context, q *question, e *epochTime) ([]stretch, error) {
	whole := stretch{e.From, e.Seq}
	if !q.span.bounded() || !e.known || e.mistimed() {
		if e.known || q.span.meets(e.t0, e.t1) {
			return []stretch{whole}, nil
		}
		return nil, nil
	}
	var ix index
	if _, err := b.get(ctx, b.indexKey(e.Epoch), &ix); err != nil {
		return nil, err
	}
	segments := slices.Clone(e.full)
	if e.Tail.N > 0 {
		segments = append(segments, e.Tail)
	}
	if ix.Line == e.indexLine() {
		segments = append(ix.Segments, segments...)
	}
	var list []stretch
	for _, s := range segments {
		if s.T0 > -unknownBound {
			t0, t1, _ := e.clock.bounds(s.T0, s.T1)
			if !q.span.meets(t0, t1) {
				continue
			}
		}
		list = append(list, stretch{s.First, s.Last})
	}
	return list, nil
}

// union sorts stretches and joins those that touch.
func union(list []stretch) []stretch {
	slices.SortFunc(list, func(x, y stretch) int { return cmp.Compare(x.first, y.first) })
	var out []stretch
	for _, s := range list {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// records gives the valid records of these stretches.
func (b *book) records(ctx context.Context, stretches []stretch) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, s := range stretches {
			for r, err := range until(record.Valid(b.log.Read(ctx, b.gatewayID, s.first)), s.last) {
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// until ends with the record that has the sequence last, without a look at
// what comes behind it.
func until(records iter.Seq2[record.Record, error], last uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for r, err := range records {
			if err == nil && r.Seq > last || !yield(r, err) || r.Seq == last {
				return
			}
		}
	}
}
