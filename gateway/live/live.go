// Package live fans readings out to local clients: who subscribes gets the
// last reading of every channel, then the stream. A slow subscriber never
// holds up the publisher: its queue is bounded, what no longer fits is
// conflated per channel and counted, and who stays behind is dropped.
package live

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/conflate"
)

const (
	queueLen = 256              // readings a subscriber may be behind before conflation begins
	patience = 30 * time.Second // how long a subscriber may go on losing readings before it is dropped
)

// ErrSlow ends a subscription that could not keep up for 30 s.
var ErrSlow = errors.New("client was too slow for 30 s")

// An Update is a reading with its name.
type Update struct {
	gateway.Reading
	Name gateway.Name
}

// A Hub keeps the last reading of every channel and passes readings on to its
// subscribers. Its methods may be called from any goroutine.
type Hub struct {
	mu    sync.Mutex
	index map[*gateway.Channel]int // place of each channel in last
	last  []Update                 // in the order in which the channels first came
	good  []Update                 // the last of each that was good, at the same places; without a channel: none
	subs  map[*Subscription]struct{}
}

// New makes an empty hub.
func New() *Hub {
	return &Hub{index: map[*gateway.Channel]int{}, subs: map[*Subscription]struct{}{}}
}

// Publish passes on readings that the store has named: rs[0] is first, the
// others follow in its epoch. It waits for no subscriber and keeps nothing of
// rs. Readings of one channel must be published in their order.
func (h *Hub) Publish(first gateway.Name, rs []gateway.Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, r := range rs {
		u := Update{Reading: r, Name: gateway.Name{Epoch: first.Epoch, Seq: first.Seq + uint64(i)}}
		n := h.keepLocked(u)
		for s := range h.subs {
			s.pushLocked(n, u)
		}
	}
	for s := range h.subs {
		s.wakeLocked()
	}
}

// keepLocked makes u the last reading of its channel and gives the channel's
// place.
func (h *Hub) keepLocked(u Update) int {
	n, known := h.index[u.Channel]
	if !known {
		n = len(h.last)
		h.index[u.Channel] = n
		h.last, h.good = append(h.last, Update{}), append(h.good, Update{})
	}
	h.last[n] = u
	if u.Quality == gateway.Good || u.Quality == gateway.Simulated {
		h.good[n] = u
	}
	return n
}

// LastGood gives the last reading of every channel whose quality was good, or
// simulated. A channel that had none is left out.
func (h *Hub) LastGood() []Update {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.good), func(u Update) bool { return u.Channel == nil })
}

// Last gives the last reading of every channel that had one, in the order in
// which the channels first came.
func (h *Hub) Last() []Update {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Update(nil), h.last...)
}

// Subscribe begins a subscription. It also gives the last reading of every
// channel; the stream goes on exactly behind them.
func (h *Hub) Subscribe() (*Subscription, []Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Subscription{
		hub:   h,
		ready: make(chan struct{}, 1),
		queue: conflate.Queue[int, Update]{Max: queueLen, Patience: patience},
	}
	h.subs[s] = struct{}{}
	return s, append([]Update(nil), h.last...)
}
