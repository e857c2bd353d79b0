package jetstream

import (
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// subscribers are the listeners of PubSub. Every gateway that is connected has one, and
// nearly all of them hear nothing for hours: so they share one channel and the
// goroutine that empties it, where the client library would give each a
// goroutine of its own. A listener has one while it has something to hear.
type subscribers struct {
	mu    sync.Mutex // guards what follows
	came  chan *nats.Msg
	heard map[*nats.Subscription]*listener
	ended chan struct{}
	sort  sync.WaitGroup
}

// A listener hears messages one at a time and in order.
type listener struct {
	hear func(subject string, data []byte) []byte

	mu      sync.Mutex // guards what follows
	waiting []*nats.Msg
	bytes   int
	busy    bool // a goroutine empties waiting
	stopped bool
}

// add subscribes a listener.
func (s *subscribers) add(conn *nats.Conn, subject string, l *listener) (*nats.Subscription, error) {
	s.mu.Lock() // until it is in the map: what comes at once is not lost
	defer s.mu.Unlock()
	if s.came == nil {
		s.came, s.heard, s.ended = make(chan *nats.Msg, waitingMsgs), map[*nats.Subscription]*listener{}, make(chan struct{})
		s.sort.Go(s.run)
	}
	sub, err := conn.ChanSubscribe(subject, s.came)
	if err == nil {
		s.heard[sub] = l
	}
	return sub, err
}

func (s *subscribers) remove(sub *nats.Subscription) {
	s.mu.Lock()
	l := s.heard[sub]
	delete(s.heard, sub)
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	l.stopped, l.waiting = true, nil
	l.mu.Unlock()
}

// run gives messages to their listeners. It waits for none of them.
func (s *subscribers) run() {
	for {
		select {
		case <-s.ended:
			return
		case m := <-s.came:
			s.mu.Lock()
			l := s.heard[m.Sub]
			s.mu.Unlock()
			if l != nil && l.put(m) {
				go l.listen() // ends when nothing waits any more
			}
		}
	}
}

// close ends all subscriptions. Listeners that hear something now are not waited for.
func (s *subscribers) close() {
	s.mu.Lock()
	if s.came != nil {
		close(s.ended)
	}
	s.mu.Unlock()
	s.sort.Wait()
}

// put lets a message wait, and tells whether listen is to be started.
func (l *listener) put(m *nats.Msg) (start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || len(l.waiting) >= waitingMsgs || l.bytes+len(m.Data) > waitingBytes {
		return false // it is too slow, or gone
	}
	l.waiting, l.bytes = append(l.waiting, m), l.bytes+len(m.Data)
	start = !l.busy
	l.busy = true
	return start
}

// listen hears what waits.
func (l *listener) listen() {
	for m := l.next(); m != nil; m = l.next() {
		answer := l.hear(strings.TrimPrefix(m.Subject, pubsubPrefix), m.Data)
		if m.Reply != "" && answer != nil {
			_ = m.Respond(answer) // who asked and gets none asks again
		}
	}
}

func (l *listener) next() *nats.Msg {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 || l.stopped {
		l.busy, l.waiting = false, nil
		return nil
	}
	m := l.waiting[0]
	l.waiting[0] = nil
	l.waiting, l.bytes = l.waiting[1:], l.bytes-len(m.Data)
	return m
}
