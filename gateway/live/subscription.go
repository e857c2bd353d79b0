package live

import "github.com/fieldgate/fieldgate/gateway/conflate"

// A Subscription is one client's bounded view of the stream. Ready, Take and
// Close are for one goroutine.
type Subscription struct {
	hub   *Hub
	ready chan struct{} // holds one token when Take has something to give

	queue conflate.Queue[int, Update] // by the channel's place in Hub.last; guarded by hub.mu
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
	if s.queue.Len() > 0 {
		s.wakeLocked()
	}
	lost = s.queue.Take(func(u Update) { buf = append(buf, u) })
	if s.queue.Slow() {
		err = ErrSlow
	}
	return buf, lost, err
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}

func (s *Subscription) pushLocked(place int, u Update) {
	if s.queue.Push(place, u); s.queue.Slow() {
		delete(s.hub.subs, s)
	}
}

func (s *Subscription) wakeLocked() {
	select {
	case s.ready <- struct{}{}:
	default: // the token of an earlier publication still lies there
	}
}
