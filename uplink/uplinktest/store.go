package uplinktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// A Store is a source of readings in memory. The value of every reading is its
// seq; Content checks that a block says what its update says.
type Store struct {
	// Noise spreads the stamps at random, so that blocks take some room: an
	// update holds few of them.
	Noise bool
	// CanSplit makes Split do what it says; without it there is nothing to split.
	CanSplit bool

	mu      sync.Mutex
	epochs  []*epoch
	changed chan struct{}
	asked   int
	splits  int
	lane    eventLane
	enc     *block.Encoder // one for all blocks: it has megabytes, which the race detector clears too
}

type epoch struct {
	gateway.EpochState
	blocks []gateway.Block // data and gaps, in order, without a hole
	end    *gateway.End
}

// NewStore makes a store with one growing epoch.
func NewStore() *Store {
	s := &Store{changed: make(chan struct{}), enc: block.NewEncoder(),
		lane: eventLane{id: gateway.NewEpochID(), arrival: make(chan struct{})}}
	s.openLocked()
	return s
}

func (s *Store) openLocked() {
	e := &epoch{EpochState: gateway.EpochState{ID: gateway.NewEpochID(), Oldest: 1}}
	s.epochs = append(s.epochs, e)
}

func (s *Store) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Append adds a block of n readings to the growing epoch.
func (s *Store) Append(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.epochs[len(s.epochs)-1]
	b := gateway.Block{Range: gateway.Range{Epoch: e.ID, First: e.Last + 1, N: uint64(n)}}
	b.Data = s.contentLocked(b.Range)
	e.blocks = append(e.blocks, b)
	e.Last = b.Last()
	s.signalLocked()
}

// AppendGap adds a gap to the growing epoch.
func (s *Store) AppendGap(n int, why gateway.Why) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.epochs[len(s.epochs)-1]
	b := gateway.Block{Range: gateway.Range{Epoch: e.ID, First: e.Last + 1, N: uint64(n)}, Gap: &gateway.Gap{Why: why}}
	e.blocks = append(e.blocks, b)
	e.Last = b.Last()
	s.signalLocked()
}

// Reopen ends the growing epoch, orderly or by a power cut, and begins another.
func (s *Store) Reopen(orderly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.epochs[len(s.epochs)-1]
	e.Growth, e.end = gateway.OpenEnded, &gateway.End{Why: gateway.WhyUncleanStop, AtMost: 100}
	if orderly {
		e.Growth, e.end = gateway.Closed, &gateway.End{Closed: true, Last: e.Last}
	}
	s.openLocked()
	s.signalLocked()
}

// Session implements uplink.Source.
func (s *Store) Session(bool, time.Duration) {}

// KnowsAll implements uplink.Source.
func (s *Store) KnowsAll() bool { return true }

// Split implements uplink.Source.
func (s *Store) Split() (gateway.EpochID, error) {
	if s.CanSplit {
		s.Reopen(true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.splits++
	return s.epochs[len(s.epochs)-1].ID, nil
}

// Splits gives how often Split was called.
func (s *Store) Splits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.splits
}

// Forget gives up the data of the first n readings of an epoch that the cloud
// has acknowledged.
func (s *Store) Forget(id gateway.EpochID, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(id)
	for i := range e.blocks {
		b := &e.blocks[i]
		if b.Last() <= n {
			b.Data, b.Gap = nil, &gateway.Gap{Why: gateway.WhyForgottenAfterAck}
			e.Oldest = b.Last() + 1
		}
	}
}

// Next implements uplink.Source.
func (s *Store) Next(ctx context.Context, id gateway.EpochID, seq uint64, _ int) (gateway.Block, error) {
	for {
		b, wait, err := s.look(id, seq)
		if wait == nil {
			return b, err
		}
		select {
		case <-ctx.Done():
			return gateway.Block{}, ctx.Err()
		case <-wait:
		}
	}
}

func (s *Store) look(id gateway.EpochID, seq uint64) (gateway.Block, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	e := s.find(id)
	if e == nil {
		return gateway.Block{}, nil, fmt.Errorf("no epoch %v", id)
	}
	i := slices.IndexFunc(e.blocks, func(b gateway.Block) bool { return b.First <= seq && seq <= b.Last() })
	switch {
	case i >= 0:
		return e.blocks[i], nil, nil
	case e.end != nil:
		return gateway.Block{Range: gateway.Range{Epoch: id, First: e.Last + 1}, End: e.end}, nil, nil
	}
	return gateway.Block{}, s.changed, nil
}

func (s *Store) find(id gateway.EpochID) *epoch {
	for _, e := range s.epochs {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// Ack implements uplink.Source.
func (s *Store) Ack(id gateway.EpochID, upto uint64, done bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(id); e != nil {
		e.Acked, e.Done = upto, done
	}
	return nil
}

// Epochs implements uplink.Source.
func (s *Store) Epochs() []gateway.EpochState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open, over []gateway.EpochState
	for _, e := range s.epochs[:len(s.epochs)-1] {
		if e.Done && e.Acked >= e.Last {
			over = append(over, e.EpochState)
		} else {
			open = append(open, e.EpochState)
		}
	}
	return append(append(open, over...), s.epochs[len(s.epochs)-1].EpochState)
}

// All gives every epoch in the order of their beginning.
func (s *Store) All() []gateway.EpochState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []gateway.EpochState
	for _, e := range s.epochs {
		all = append(all, e.EpochState)
	}
	return all
}

// Asked gives how often Next has looked.
func (s *Store) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

var channel = &gateway.Channel{Device: "probe", Quantity: "count"}

func (s *Store) contentLocked(r gateway.Range) []byte {
	rs := make([]gateway.Reading, r.N)
	for i := range rs {
		seq := r.First + uint64(i)
		rs[i] = gateway.Reading{Channel: channel, Value: float64(seq), At: gateway.Stamp(1000 * seq)}
		if s.Noise {
			rs[i].At += gateway.Stamp(rand.IntN(1000))
		}
	}
	h := gateway.BlockHeader{Range: r, Anchor: gateway.Anchor{Quality: gateway.ClockRTC}}
	b, err := s.enc.Append(nil, h, rs)
	if err != nil {
		panic(err) // a test asks for what cannot be
	}
	return b
}

// Content gives the names that a block of a Store stands for.
func Content(b []byte) (gateway.Range, error) {
	h, rs, err := block.NewDecoder().Decode(b)
	if err != nil {
		return gateway.Range{}, err
	}
	for i, r := range rs {
		if r.Value != float64(h.First+uint64(i)) {
			return h.Range, fmt.Errorf("reading %d has value %v", h.First+uint64(i), r.Value)
		}
	}
	return h.Range, nil
}
