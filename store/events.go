package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
)

// bucketEvents holds, under the ordinal of the opening and the event's seq (8
// bytes each), events as sealed JSON.
var bucketEvents = []byte("events")

const (
	maxEvents     = 16 << 20 // bytes of events, if Options.MaxEvents does not say less
	eventOverhead = 256      // bytes that an event takes beside its body, about
)

// heldEvent is an event and what becomes of it.
type heldEvent struct {
	gateway.Event
	ordinal uint64
	saved   bool
}

func (h *heldEvent) key() []byte { return blockKey(h.ordinal, h.Seq) }
func (h *heldEvent) size() int   { return len(h.Body) + len(h.Device) + eventOverhead }

// A lane is the events: small, apart from readings, never downsampled. Guarded by
// Store.mu.
type lane struct {
	held      []*heldEvent // in order
	acked     int          // so many of them the cloud has
	bytes     int
	id        gateway.EpochID // names the events of this opening …
	ordinal   uint64
	last      uint64          // … the newest of which has this seq
	gone      [][]byte        // keys to be deleted with the next write
	discarded discardedEvents // that the cloud never had
	arrival   chan struct{}   // closed at the next event; nil if nobody waits
}

// discardedEvents is the body of an event events_dropped.
type discardedEvents struct {
	N     uint64        `json:"n"`
	First *gateway.Name `json:"first"`
	Last  *gateway.Name `json:"last"`
}

// AddEvent gives an event its name and makes it durable. If the card does not
// take it, the event is kept in RAM, marked volatile, and written when the
// card works again; the error tells. At 0 means now.
func (s *Store) AddEvent(ev gateway.Event) (gateway.Name, error) {
	h := s.placeEvent(ev)
	if err := s.saveEvents(h, nil); err != nil {
		return h.Name, fmt.Errorf("keep event: %w", err)
	}
	return h.Name, nil
}

// Note is AddEvent for those who must not wait: the event is made durable with
// the next flush, before the readings that come after it.
func (s *Store) Note(ev gateway.Event) gateway.Name { return s.placeEvent(ev).Name }

// placeEvent puts an event into the lane.
func (s *Store) placeEvent(ev gateway.Event) *heldEvent {
	now, anchor := s.o.Clock.Stamp(), s.o.Clock.Anchor()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.growing != nil {
		s.growing.remember(anchor) // events tell of every anchor, flushes do not
	}
	l := &s.lane
	l.last++
	ev.Name, ev.Anchor, ev.N = gateway.Name{Epoch: l.id, Seq: l.last}, anchor, max(ev.N, 1)
	if ev.At == 0 {
		ev.At = now
	}
	h := &heldEvent{Event: ev, ordinal: l.ordinal}
	l.held = append(l.held, h)
	l.bytes += h.size()
	s.boundEventsLocked()
	if l.arrival != nil {
		close(l.arrival)
		l.arrival = nil
	}
	return h
}

// saveEvents makes an event durable, and with it all others that wait: of
// many that come at once, few are written alone. also is done in the same
// transaction.
func (s *Store) saveEvents(h *heldEvent, also func(*bbolt.Tx) error) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.mu.Lock()
	done := h != nil && h.saved && also == nil
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := s.saveStateAnd(also); err != nil {
		s.cardFailed(err)
		return err
	}
	return nil
}

// eventsWait tells whether events are not on the card, which it refused.
func (s *Store) eventsWait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.lane.held)
	return n > 0 && !s.lane.held[n-1].saved
}

// unsavedLocked gives what writes the events that are not on the card, all of
// them if state.db is to be made anew, and what is to be done, with mu held,
// once that has gone well.
func (s *Store) unsavedLocked(all bool) (write func(*bbolt.Tx) error, wrote func()) {
	var batch []heldEvent
	var which []*heldEvent
	for _, h := range s.lane.held {
		if all || !h.saved {
			batch, which = append(batch, *h), append(which, h)
		}
	}
	gone := s.lane.gone
	if len(batch)+len(gone) == 0 {
		return nil, func() {}
	}
	write = func(tx *bbolt.Tx) error { return putEvents(tx, batch, gone) }
	wrote = func() {
		for _, h := range which {
			h.saved = true
		}
		s.lane.gone = s.lane.gone[len(gone):]
	}
	return write, wrote
}

func putEvents(tx *bbolt.Tx, events []heldEvent, gone [][]byte) error {
	b, err := tx.CreateBucketIfNotExists(bucketEvents)
	if err != nil {
		return err
	}
	for i := range events {
		text, err := json.Marshal(events[i].Event)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		key := events[i].key()
		if err := b.Put(key, seal(key, string(text))); err != nil {
			return err
		}
	}
	for _, key := range gone {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// loadEvents reads the lane; what makes no sense is left out and counted.
func (st *state) loadEvents() (held []*heldEvent, damaged int, err error) {
	err = st.each(bucketEvents, func(k, v []byte) {
		h, err := parseEvent(k, v)
		if err != nil {
			damaged++
			return
		}
		held = append(held, h)
	})
	return held, damaged, err
}

// parseEvent reads what stands under a key of the events.
func parseEvent(k, v []byte) (*heldEvent, error) {
	ordinal, seq, err := splitKey(k)
	if err != nil {
		return nil, err
	}
	h := &heldEvent{saved: true, ordinal: ordinal}
	text, err := unseal(k, v)
	if err == nil {
		err = json.Unmarshal(text, &h.Event)
	}
	if err == nil && h.Seq != seq {
		err = fmt.Errorf("%w: event %d under the key of %d", errDamaged, h.Seq, seq)
	}
	return h, err
}

// NextEvents gives up to n events behind one that is named, in order; behind
// the zero name, those that the cloud does not have. If there are none, wait
// is closed when one comes.
func (s *Store) NextEvents(after gateway.Name, n int) (events []gateway.Event, wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lane
	from := l.acked
	if i := l.find(after); i >= 0 {
		from = i + 1
	}
	for _, h := range l.held[from:min(len(l.held), from+n)] {
		h.Volatile = !h.saved
		events = append(events, h.Event)
	}
	if len(events) == 0 {
		if l.arrival == nil {
			l.arrival = make(chan struct{})
		}
		wait = l.arrival
	}
	return events, wait
}

// Events gives the newest n events, the newest first, whether the cloud has
// them or not.
func (s *Store) Events(n int) []gateway.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []gateway.Event
	for _, h := range slices.Backward(s.lane.held) {
		if len(events) == n {
			break
		}
		h.Volatile = !h.saved
		events = append(events, h.Event)
	}
	return events
}

// LastEvent names the newest event of this opening (Seq 0: none yet), and the
// newest one that the cloud is believed to hold.
func (s *Store) LastEvent() (newest, acked gateway.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gateway.Name{Epoch: s.lane.id, Seq: s.lane.last}, s.facts.EventsAcked
}

// AckEvents records that the cloud has all events up to one. It may go back.
// A name that the lane does not know means that the cloud knows nothing of
// what is held: all of it is sent again. It is saved with the next write of
// state.db that happens anyway.
func (s *Store) AckEvents(upto gateway.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lane.acked = s.lane.find(upto) + 1
	s.facts.EventsAcked = upto
	if s.settling {
		s.flushedLocked() // who waits in Settle looks again
	}
}

// find gives the place of an event, -1 if it is not held.
func (l *lane) find(name gateway.Name) int {
	return slices.IndexFunc(l.held, func(h *heldEvent) bool { return h.Name == name })
}

// boundEventsLocked keeps the lane within its bound: first go the oldest that
// the cloud has, then repeats are folded into one, then the oldest go, and an
// event says how many.
func (s *Store) boundEventsLocked() {
	l := &s.lane
	limit := maxEvents
	if s.o.MaxEvents > 0 {
		limit = s.o.MaxEvents
	}
	for l.bytes > limit && l.acked > 0 {
		l.removeAt(0)
		l.acked--
	}
	if l.bytes > limit {
		l.fold()
	}
	for l.bytes > limit && len(l.held) > 1 {
		l.discard(l.held[0])
		l.removeAt(0)
	}
	if l.discarded.N > 0 {
		l.reportDiscarded(s.o.Clock)
	}
}

// discard counts an event that goes before the cloud had it. One that tells of
// others stands for them; that of this opening is written anew.
func (l *lane) discard(h *heldEvent) {
	told := discardedEvents{N: h.N, First: &h.Name, Last: &h.Name}
	if h.Kind == gateway.EventEventsDropped {
		if h.Epoch == l.id || json.Unmarshal(h.Body, &told) != nil {
			return
		}
	}
	if l.discarded.First == nil {
		l.discarded.First = told.First
	}
	l.discarded.Last = told.Last
	l.discarded.N += told.N
}

// reportDiscarded puts an event about those that were discarded in front of the
// rest; one that is there already is brought up to date.
func (l *lane) reportDiscarded(c Clock) {
	body, err := json.Marshal(l.discarded)
	if err != nil {
		return // a number and two names: it can be encoded
	}
	if i := slices.IndexFunc(l.held, func(h *heldEvent) bool { return h.Kind == gateway.EventEventsDropped && h.Epoch == l.id }); i >= 0 {
		l.held[i].Body, l.held[i].saved = body, false
		return
	}
	l.last++
	l.held = append(l.held, &heldEvent{ordinal: l.ordinal, Event: gateway.Event{
		Name: gateway.Name{Epoch: l.id, Seq: l.last}, Kind: gateway.EventEventsDropped, At: c.Stamp(), Anchor: c.Anchor(), Body: body, N: 1,
	}})
	l.bytes += l.held[len(l.held)-1].size()
}

func (l *lane) removeAt(i int) {
	h := l.held[i]
	l.bytes -= h.size()
	if h.saved {
		l.gone = append(l.gone, h.key())
	}
	l.held = slices.Delete(l.held, i, i+1)
}

// fold makes one of events that say the same and were not sent yet: the
// newest stays, and counts them all.
func (l *lane) fold() {
	type what struct{ kind, device, body string }
	newest := map[what]*heldEvent{}
	for i := len(l.held) - 1; i >= l.acked; i-- {
		h := l.held[i]
		w := what{string(h.Kind), h.Device, string(bytes.TrimSpace(h.Body))}
		same := newest[w]
		if same == nil || h.Kind == gateway.EventResult || h.Kind == gateway.EventEventsDropped {
			newest[w] = h
			continue
		}
		same.N += h.N
		same.saved = false
		l.removeAt(i)
	}
}
