package uplinktest

import (
	"slices"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An eventLane is the events of a Store.
type eventLane struct {
	id      gateway.EpochID
	held    []gateway.Event
	acked   gateway.Name
	arrival chan struct{}
}

// AddEvent adds an event to the store.
func (s *Store) AddEvent(kind gateway.EventKind, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lane
	name := gateway.Name{Epoch: l.id, Seq: uint64(len(l.held) + 1)}
	l.held = append(l.held, gateway.Event{Name: name, Kind: kind, Body: []byte(body), N: 1})
	close(l.arrival)
	l.arrival = make(chan struct{})
}

// NextEvents implements uplink.Source.
func (s *Store) NextEvents(after gateway.Name, n int) ([]gateway.Event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lane
	from := l.find(after) + 1
	if from == 0 {
		from = l.find(l.acked) + 1
	}
	if from == len(l.held) {
		return nil, l.arrival
	}
	return slices.Clone(l.held[from:min(len(l.held), from+n)]), nil
}

// AckEvents implements uplink.Source.
func (s *Store) AckEvents(upto gateway.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lane.acked = upto
}

// LastEvent implements uplink.Source.
func (s *Store) LastEvent() (newest, acked gateway.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gateway.Name{Epoch: s.lane.id, Seq: uint64(len(s.lane.held))}, s.lane.acked
}

func (l *eventLane) find(name gateway.Name) int {
	return slices.IndexFunc(l.held, func(e gateway.Event) bool { return e.Name == name })
}

// Events gives what the cloud has of the events, in order.
func (c *Cloud) Events() []wire.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// ForgetEvents keeps the first n events only.
func (c *Cloud) ForgetEvents(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = c.events[:n]
}

func (c *Cloud) event(p *Peer, m *wire.Event) {
	if c.OnEvent != nil && c.OnEvent(p, m) {
		return
	}
	c.mu.Lock()
	known := slices.ContainsFunc(c.events, func(e wire.Event) bool { return e.Epoch == m.Epoch && e.Seq == m.Seq })
	if !known {
		c.events = append(c.events, *m)
	}
	a := c.lastEventLocked()
	c.mu.Unlock()
	p.Send(&wire.Ack{Epochs: []wire.EpochAck{}, Events: a})
}

func (c *Cloud) lastEventLocked() *wire.EventAck {
	a := &wire.EventAck{}
	if n := len(c.events); n > 0 {
		a.Epoch, a.Upto = c.events[n-1].Epoch, c.events[n-1].Seq
	}
	return a
}
