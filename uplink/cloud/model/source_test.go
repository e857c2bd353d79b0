package model

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

// A source is the store as the uplink sees it. It counts what the cloud's word
// does to it, and sometimes gives a block that begins before the seq it was
// asked for, as a Source may.
type source struct {
	*store.Store
	ruleOff *brokenRule
	seen    *counts

	mu    sync.Mutex
	r     *rand.Rand
	acked map[gateway.EpochID]uint64
	given map[gateway.EpochID]uint64
}

func newSource(s *store.Store, w *testbed) *source {
	return &source{
		Store: s, ruleOff: w.log.ruleOff, seen: &w.seen, r: rand.New(rand.NewPCG(w.r.Uint64(), 3)),
		acked: map[gateway.EpochID]uint64{}, given: map[gateway.EpochID]uint64{},
	}
}

// Ack implements uplink.Source.
func (s *source) Ack(e gateway.EpochID, upto uint64, done bool) error {
	s.mu.Lock()
	if upto < s.acked[e] {
		s.seen.add(wentBack, 1)
	}
	s.acked[e] = upto
	s.mu.Unlock()
	return s.Store.Ack(e, upto, done)
}

// Session implements uplink.Source.
func (s *source) Session(fsynced bool, retain time.Duration) {
	if s.ruleOff != nil && s.ruleOff.hasty {
		retain = 0
	}
	s.Store.Session(fsynced, retain)
}

// Next implements uplink.Source.
func (s *source) Next(ctx context.Context, e gateway.EpochID, seq uint64, maxBytes int) (gateway.Block, error) {
	s.mu.Lock()
	earlier := uint64(0)
	if s.r.IntN(4) == 0 {
		earlier = s.r.Uint64N(min(seq, 50))
	}
	if s.ruleOff != nil && s.ruleOff.stubborn {
		seq = max(seq, s.given[e]+1)
	}
	s.mu.Unlock()
	if earlier > 0 {
		b, err := s.Store.Next(ctx, e, seq-earlier, maxBytes)
		if err == nil && b.Data != nil && !b.Thinned && b.Last() >= seq {
			return b, nil
		}
	}
	b, err := s.Store.Next(ctx, e, seq, maxBytes)
	if err == nil {
		s.mu.Lock()
		s.given[e] = max(s.given[e], b.Last())
		s.mu.Unlock()
	}
	return b, err
}

// counts says how often what has happened.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what] += n
}
