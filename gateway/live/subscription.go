package live

import (
	"slices"
	"time"
)

// A Subscription is one client's bounded view of the stream. Ready, Take and
// Close are for one goroutine.
type Subscription struct {
	hub   *Hub
	ready chan struct{} // holds one token when Take has something to give

	// Guarded by hub.mu.
	queue  []queued  // oldest first, at most queueLen
	counts []int     // by channel place: how many of its readings are queued
	lost   uint64    // conflated away or dropped since the last Take
	behind time.Time // when losing began; zero while the client keeps up
	err    error
}

type queued struct {
	place int // of the channel, in Hub.last
	Update
}

// Ready gives a channel that delivers when Take has something to give.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take appends to buf what has come since the last Take, oldest first, and
// says how many readings were left out since then. The newest reading of a
// channel is left out only if more than 256 channels are waiting. After a Take
// that gave something Ready delivers once more: whoever then finds no losses
// keeps up. The error is ErrSlow when the client has been dropped.
func (s *Subscription) Take(buf []Update) (updates []Update, lost uint64, err error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, q := range s.queue {
		buf = append(buf, q.Update)
	}
	if len(s.queue) > 0 {
		s.wakeLocked()
	}
	s.queue = s.queue[:0]
	clear(s.counts)
	lost, s.lost = s.lost, 0
	if lost == 0 {
		s.behind = time.Time{}
	}
	return buf, lost, s.err
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}

func (s *Subscription) pushLocked(place int, u Update) {
	for place >= len(s.counts) {
		s.counts = append(s.counts, 0)
	}
	s.counts[place]++
	if len(s.queue) == queueLen {
		s.dropOneLocked()
	}
	s.queue = append(s.queue, queued{place, u})
}

// dropOneLocked makes room by leaving out the oldest reading that a newer one
// of its channel supersedes; if every channel waits only once, the oldest.
func (s *Subscription) dropOneLocked() {
	i := max(0, slices.IndexFunc(s.queue, func(q queued) bool { return s.counts[q.place] > 1 }))
	s.counts[s.queue[i].place]--
	s.queue = slices.Delete(s.queue, i, i+1)
	s.lost++
	switch {
	case s.behind.IsZero():
		s.behind = time.Now()
	case time.Since(s.behind) > patience:
		s.err = ErrSlow
		delete(s.hub.subs, s)
	}
}

func (s *Subscription) wakeLocked() {
	select {
	case s.ready <- struct{}{}:
	default: // the token of an earlier publication still lies there
	}
}
