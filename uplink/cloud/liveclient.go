package cloud

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"
)

const (
	liveQueue    = 256              // messages a client may be behind before conflation begins
	livePatience = 30 * time.Second // how long a client may go on losing readings before it is dropped
)

// errSlowClient ends a client that could not keep up.
var errSlowClient = errors.New("client was too slow for 30 s")

// A liveClient is one client's bounded view of the stream. Guarded by the
// hub's mu, but for filter and ready, which do not change.
type liveClient struct {
	filter liveFilter
	ready  chan struct{} // holds one token when there is something to take

	queue  []queuedText    // oldest first, at most liveQueue
	counts map[*series]int // how many of a series are queued
	lost   uint64          // readings left out since the last take
	behind time.Time       // when losing began; zero while the client keeps up
	begun  bool            // it has got the last values: from now on it must keep up
	err    error
	news   map[string]bool // gateways that came, went or said something
}

// A queuedText is a message to be sent. The text is shared: never written to.
type queuedText struct {
	of   *series
	text []byte
}

// subscribe begins a client's view.
func (h *feedHub) subscribe(f liveFilter) (*liveClient, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.listenLocked(); err != nil {
		return nil, err
	}
	c := &liveClient{filter: f, ready: make(chan struct{}, 1), counts: map[*series]int{}, news: map[string]bool{}}
	h.clients[c] = struct{}{}
	return c, nil
}

// unsubscribe ends it. It may be called twice.
func (h *feedHub) unsubscribe(c *liveClient) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
}

func (c *liveClient) pushLocked(h *feedHub, s *series, text []byte) {
	c.counts[s]++
	if len(c.queue) == liveQueue {
		c.dropOneLocked(h)
	}
	c.queue = append(c.queue, queuedText{s, text})
}

// dropOneLocked makes room by leaving out the oldest reading that a newer one
// of its series supersedes; if every series waits only once, the oldest.
func (c *liveClient) dropOneLocked(h *feedHub) {
	i := max(0, slices.IndexFunc(c.queue, func(q queuedText) bool { return c.counts[q.of] > 1 }))
	c.forgetLocked(c.queue[i].of)
	c.queue = slices.Delete(c.queue, i, i+1)
	c.lost++
	h.lost.Add(1)
	switch {
	case !c.begun:
	case c.behind.IsZero():
		c.behind = time.Now()
	case time.Since(c.behind) > livePatience:
		c.err = errSlowClient
		delete(h.clients, c)
	}
}

func (c *liveClient) forgetLocked(s *series) {
	if c.counts[s]--; c.counts[s] == 0 {
		delete(c.counts, s)
	}
}

func (c *liveClient) wakeLocked() {
	if len(c.queue) == 0 && len(c.news) == 0 && c.err == nil {
		return
	}
	select {
	case c.ready <- struct{}{}:
	default: // the token of an earlier time still lies there
	}
}

// tell makes every client that listens to a gateway look at its presence.
func (h *feedHub) tell(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.filter.gateway(id) {
			c.news[id] = true
			c.wakeLocked()
		}
	}
}

// take gives what has come since the last time, oldest first, with how many
// readings were left out, and the gateways whose presence has changed.
func (h *feedHub) take(c *liveClient, buf [][]byte) (texts [][]byte, lost uint64, news []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range c.queue {
		buf = append(buf, q.text)
	}
	if lost = c.lost; lost == 0 {
		c.behind = time.Time{}
	} else {
		c.wakeLocked() // whoever then finds no losses keeps up
	}
	news = slices.Sorted(maps.Keys(c.news))
	c.queue, c.lost = c.queue[:0], 0
	clear(c.counts)
	clear(c.news)
	return buf, lost, news, c.err
}

// catchUp gives the last values of one gateway that c wants, in place of what
// is queued of it: the stream goes on exactly behind them.
func (h *feedHub) catchUp(c *liveClient, id string) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.queue = slices.DeleteFunc(c.queue, func(q queuedText) bool {
		if q.of.gatewayID != id {
			return false
		}
		c.forgetLocked(q.of)
		return true
	})
	var texts [][]byte
	if w := h.warm[id]; w != nil {
		for _, s := range w.order {
			if c.filter.series(s.last.channel) {
				texts = append(texts, s.last.text(id))
			}
		}
	}
	return texts
}

// begin tells that a client has got the last values of every gateway.
func (h *feedHub) begin(c *liveClient) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.begun = true
}

// withLost puts how many readings were left out into a message.
func withLost(text []byte, lost uint64) []byte {
	if lost == 0 {
		return text
	}
	b := append(make([]byte, 0, len(text)+24), text[:len(text)-1]...)
	return append(appendUint(append(b, `,"lost":`...), lost), '}')
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }
