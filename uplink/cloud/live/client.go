package live

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/gateway/conflate"
)

const (
	maxQueue = 256              // messages a client may be behind before conflation begins
	patience = 30 * time.Second // how long a client may go on losing readings before it is dropped
)

// errSlowClient ends a client that could not keep up.
var errSlowClient = errors.New("client was too slow for 30 s")

// A client is one client's bounded view of the stream. Guarded by the
// hub's mu, but for filter and ready, which do not change.
type client struct {
	filter Filter
	ready  chan struct{} // holds one token when there is something to take

	// The texts are shared: never written to. Patience is set when the client
	// has got the last values: from then on it must keep up.
	queue conflate.Queue[*series, []byte]
	news  map[string]bool // gateways that came, went or said something
}

// subscribe begins a client's view.
func (h *Hub) subscribe(f Filter) (*client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.listenLocked(); err != nil {
		return nil, err
	}
	c := &client{
		filter: f, ready: make(chan struct{}, 1),
		queue: conflate.Queue[*series, []byte]{Max: maxQueue}, news: map[string]bool{},
	}
	h.clients[c] = struct{}{}
	return c, nil
}

// unsubscribe ends it. It may be called twice.
func (h *Hub) unsubscribe(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
}

// Clients gives how many clients are told of readings.
func (h *Hub) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

func (c *client) pushLocked(h *Hub, s *series, text []byte) {
	if c.queue.Push(s, text) {
		h.Lost.Add(1)
	}
	if c.queue.Slow() {
		delete(h.clients, c)
	}
}

func (c *client) wakeLocked() {
	if c.queue.Len() == 0 && len(c.news) == 0 && !c.queue.Slow() {
		return
	}
	c.signal()
}

func (c *client) signal() {
	select {
	case c.ready <- struct{}{}:
	default: // the token of an earlier time still lies there
	}
}

// PresenceChanged makes every client that listens to a gateway look at its presence.
func (h *Hub) PresenceChanged(id string) {
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
func (h *Hub) take(c *client, buf [][]byte) (texts [][]byte, lost uint64, news []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if lost = c.queue.Take(func(text []byte) { buf = append(buf, text) }); lost > 0 {
		c.signal() // whoever then finds no losses keeps up
	}
	news = slices.Sorted(maps.Keys(c.news))
	clear(c.news)
	if c.queue.Slow() {
		err = errSlowClient
	}
	return buf, lost, news, err
}

// catchUp gives the last values of one gateway that c wants, in place of what
// is queued of it: the stream goes on exactly behind them.
func (h *Hub) catchUp(c *client, id string) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.queue.Delete(func(s *series) bool { return s.gatewayID == id })
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
func (h *Hub) begin(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.queue.Patience = patience
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
