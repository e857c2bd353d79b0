package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// saveAtOnce is how many documents are on their way to the shelf together.
const saveAtOnce = 16

// A paper is a document to be saved.
type paper struct {
	key  string
	what any
}

// save makes what has changed in these books durable: parts, indexes and
// clocks first, then accounts, which take no record in that they know, then the
// pages, which say that records need not be entered again. A crash in between
// leaves accounts that know more than their page: what is entered again
// changes nothing in them.
func save(ctx context.Context, shelf record.KV, books []*book) error {
	var first, second, third []paper
	for _, b := range books {
		papers, err := b.prepare(ctx)
		if err != nil {
			return err
		}
		first = append(first, papers...)
		for _, a := range b.accounts {
			if a.dirty {
				second = append(second, paper{b.accountKey(a.Epoch), a})
			}
		}
		for boot := range b.changed {
			first = append(first, paper{b.clockKey(boot), b.clocks[boot]})
		}
		if b.page.dirty {
			third = append(third, paper{b.pageKey(), &b.page})
		}
	}
	for _, papers := range [][]paper{first, second, third} {
		if err := putAll(ctx, shelf, papers); err != nil {
			return fmt.Errorf("save the ledger: %w", err)
		}
	}
	for _, b := range books {
		b.saved()
	}
	return nil
}

// prepare splits long lists of spans and gives the parts and indexes to save.
func (b *book) prepare(ctx context.Context) ([]paper, error) {
	var papers []paper
	for p := &b.page; len(p.Events) > maxPlaces; p.EventDocs++ {
		papers = append(papers, paper{b.placesKey(p.EventDocs), p.Events[:maxPlaces:maxPlaces]})
		p.Events = p.Events[maxPlaces:]
	}
	for _, a := range b.accounts {
		for len(a.Spans) > maxSpans {
			part := a.Spans[:maxSpans:maxSpans] // all but the last of a list are final
			papers = append(papers, paper{b.partKey(a.Epoch, a.Parts), part})
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
		papers = append(papers, paper{b.indexKey(a.Epoch), ix})
	}
	return papers, nil
}

// An index says where in the log the records of an epoch lie.
type index struct {
	Line     string    `json:"line"`
	Segments []segment `json:"segments"` // may overlap after a crash
}

// index gives the index of an epoch with the segments that are full.
func (b *book) index(ctx context.Context, a *account) (*index, error) {
	ix := &index{}
	if _, err := b.get(ctx, b.indexKey(a.Epoch), ix); err != nil {
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

// saved forgets what the shelf now has and nobody needs soon.
func (b *book) saved() {
	b.page.dirty = false
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
func (b *book) unsplit(ctx context.Context, a *account) error {
	spans, err := b.spans(ctx, a)
	if err == nil {
		a.Spans, a.Parts = spans, 0
	}
	return err
}

// spans gives all spans of an account.
func (b *book) spans(ctx context.Context, a *account) ([]span, error) {
	var all []span
	for n := range a.Parts {
		var part []span
		found, err := b.get(ctx, b.partKey(a.Epoch, n), &part)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("the ledger has lost %s", b.partKey(a.Epoch, n))
		}
		all = append(all, part...)
	}
	return append(all, a.Spans...), nil
}

// loadAll brings every account of the gateway to hand.
func (b *book) loadAll(ctx context.Context) error {
	if b.shelf == nil {
		return nil
	}
	for doc, err := range b.shelf.List(ctx, "ledger."+b.gatewayID) {
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", b.gatewayID, err)
		}
		var e gateway.EpochID
		if e.UnmarshalText([]byte(doc.Key[strings.LastIndexByte(doc.Key, '.')+1:])) != nil {
			continue // the page
		}
		if b.accounts[e] != nil {
			continue
		}
		a := &account{}
		if err := json.Unmarshal(doc.Body, a); err != nil {
			return fmt.Errorf("read %s: %w", doc.Key, err)
		}
		b.accounts[e] = a
	}
	return nil
}

// putAll makes documents durable, several at once, and gives the first error.
func putAll(ctx context.Context, shelf record.KV, papers []paper) error {
	errs := make([]error, min(saveAtOnce, len(papers)))
	var writing sync.WaitGroup
	for i := range errs {
		writing.Go(func() {
			for n := i; n < len(papers) && errs[i] == nil; n += len(errs) {
				errs[i] = put(ctx, shelf, papers[n])
			}
		})
	}
	writing.Wait()
	return errors.Join(errs...)
}

func put(ctx context.Context, shelf record.KV, p paper) error {
	body, err := json.Marshal(p.what)
	if err == nil {
		_, err = shelf.Put(ctx, p.key, body, record.AnyRev, 0)
	}
	return err
}
