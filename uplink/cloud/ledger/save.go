package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// maxSaving is how many documents are on their way to the KV together.
const maxSaving = 16

// A document is what lies in the KV under one key.
type document struct {
	key  string
	what any
}

// save makes what has changed in these ledgers durable, in three steps, each
// durable before the next begins. A crash in between leaves accounts that know
// more than their checkpoint: what is entered again changes nothing in them.
func save(ctx context.Context, kv record.KV, ledgers []*Gateway) error {
	var first, second, third []document
	for _, b := range ledgers {
		docs, err := b.prepare(ctx)
		if err != nil {
			return err
		}
		first = append(first, docs...)
		for _, a := range b.accounts {
			if a.dirty {
				second = append(second, document{b.accountKey(a.Epoch), a})
			}
		}
		for boot := range b.changed {
			first = append(first, document{b.clockKey(boot), b.clocks[boot]})
		}
		if b.checkpoint.dirty {
			third = append(third, document{b.checkpointKey(), &b.checkpoint})
		}
	}
	// First what accounts refer to: parts of lists, indexes, clocks. If power dies
	// here, the accounts are the old ones; the same parts are written again.
	if err := putAll(ctx, kv, first); err != nil {
		return fmt.Errorf("save the ledger: %w", err)
	}
	// Then the accounts. Each names the newest record that is in it. If power dies
	// here, some are ahead of the checkpoint: the records between come again, and
	// an account takes none that it knows.
	if err := putAll(ctx, kv, second); err != nil {
		return fmt.Errorf("save the ledger: %w", err)
	}
	// Last the checkpoints, which say that records need not be entered again.
	if err := putAll(ctx, kv, third); err != nil {
		return fmt.Errorf("save the ledger: %w", err)
	}
	for _, b := range ledgers {
		b.saved()
	}
	return nil
}

// prepare splits long lists of spans and gives the parts and indexes to save.
func (b *Gateway) prepare(ctx context.Context) ([]document, error) {
	var docs []document
	for p := &b.checkpoint; len(p.Events) > maxEventPlaces; p.EventDocs++ {
		docs = append(docs, document{b.eventsKey(p.EventDocs), p.Events[:maxEventPlaces:maxEventPlaces]})
		p.Events = p.Events[maxEventPlaces:]
	}
	for _, a := range b.accounts {
		for len(a.Spans) > maxSpans {
			part := a.Spans[:maxSpans:maxSpans] // all but the last of a list are final
			docs = append(docs, document{b.partKey(a.Epoch, a.Parts), part})
			a.Spans = a.Spans[maxSpans:]
			a.Parts++
		}
		if len(a.full) == 0 {
			continue
		}
		ix, err := b.index(ctx, a)
		if err != nil {
			return nil, err
		}
		docs = append(docs, document{b.indexKey(a.Epoch), ix})
	}
	return docs, nil
}

// An index says where in the log the records of an epoch lie.
type index struct {
	Line     string    `json:"line"`
	Segments []segment `json:"segments"` // may overlap after a crash
}

// index gives the index of an epoch with the segments that are full.
func (b *Gateway) index(ctx context.Context, a *account) (*index, error) {
	ix := &index{}
	if _, err := b.read(ctx, b.indexKey(a.Epoch), ix); err != nil {
		return nil, err
	}
	if ix.Line != a.indexLine() {
		*ix = index{Line: a.indexLine()}
	}
	for _, s := range a.full {
		if n := len(ix.Segments); n > 0 && s.Last <= ix.Segments[n-1].Last {
			continue // there since before a crash
		}
		ix.Segments = append(ix.Segments, s)
	}
	for len(ix.Segments) > maxSegments {
		ix.halve()
	}
	return ix, nil
}

// halve makes one segment of every two.
func (ix *index) halve() {
	half := ix.Segments[:0]
	for pair := range slices.Chunk(ix.Segments, 2) {
		s := pair[0]
		for _, t := range pair[1:] {
			s.Last, s.N = t.Last, s.N+t.N
			s.T0, s.T1 = min(s.T0, t.T0), max(s.T1, t.T1)
		}
		half = append(half, s)
	}
	ix.Segments = half
}

// saved forgets what the KV now has and nobody needs soon.
func (b *Gateway) saved() {
	b.checkpoint.dirty = false
	clear(b.changed)
	for e, a := range b.accounts {
		a.dirty, a.full = false, nil
		if a.done() || len(b.accounts) > 64 {
			delete(b.accounts, e)
		}
	}
	if len(b.clocks) > 4 {
		clear(b.clocks)
	}
}

// unsplit takes the parts of a list of spans back into the account.
func (b *Gateway) unsplit(ctx context.Context, a *account) error {
	spans, err := b.spans(ctx, a)
	if err == nil {
		a.Spans, a.Parts = spans, 0
	}
	return err
}

// putAll makes documents durable, several at once, and gives the first error.
func putAll(ctx context.Context, kv record.KV, docs []document) error {
	errs := make([]error, min(maxSaving, len(docs)))
	var writing sync.WaitGroup
	for i := range errs {
		writing.Go(func() {
			for n := i; n < len(docs) && errs[i] == nil; n += len(errs) {
				errs[i] = put(ctx, kv, docs[n])
			}
		})
	}
	writing.Wait()
	return errors.Join(errs...)
}

func put(ctx context.Context, kv record.KV, p document) error {
	body, err := json.Marshal(p.what)
	if err == nil {
		_, err = kv.Put(ctx, p.key, body, record.AnyRev, 0)
	}
	return err
}
