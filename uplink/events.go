package uplink

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An eventCursor is where a session stands with the events.
type eventCursor struct {
	source  Events // nil: none are sent to this cloud
	after   gateway.Name
	acked   gateway.Name
	flights []flight
}

// resumeEvents takes the cloud's word for the events it holds.
func (s *session) resumeEvents(a *wire.EventAck) {
	if a == nil {
		return
	}
	source := s.u.o.Source
	name := gateway.Name{Epoch: a.Epoch, Seq: a.Upto}
	source.AckEvents(name)
	s.events = eventCursor{source: source, after: name, acked: name}
}

// takeEvents gets the next event ready. If there is none, arrival is closed
// when one comes.
func (s *session) takeEvents() (arrival <-chan struct{}) {
	c := &s.lanes[laneEvents]
	if s.events.source == nil || s.halt || c.ready != nil || !c.fits(0) {
		return nil
	}
	next, wait := s.events.source.NextEvents(s.events.after, 1)
	if len(next) == 0 {
		return wait
	}
	ev := &next[0]
	s.events.after = ev.Name
	m := wireEvent(ev)
	data, err := s.codec.Encode(m)
	if err == nil && len(data) > s.maxMsg {
		s.u.o.Log.Warn("an event is longer than the cloud's messages may be; it goes without its body",
			"kind", ev.Kind, "bytes", len(data), "most", s.maxMsg)
		m.Body = json.RawMessage(unsent)
		data, err = s.codec.Encode(m)
	}
	if err != nil {
		s.u.o.Log.Error("an event cannot be encoded and is not sent", "kind", ev.Kind, "error", err)
		return nil
	}
	c.ready = &parcel{data: data, flight: flight{lane: laneEvents, event: ev.Name}}
	return nil
}

// unsent stands in the place of a body that the cloud would not take, or that
// makes a message longer than the cloud allows.
const unsent = `{"error":"this body cannot be sent; it is in the gateway's store"}`

// wireEvent puts an event on the wire. A body that no cloud would take stays
// here; that it was there is said.
func wireEvent(ev *gateway.Event) *wire.Event {
	body := ev.Body
	if wire.ValidBody(body) != nil {
		body = json.RawMessage(unsent)
	}
	return &wire.Event{
		Epoch: ev.Epoch, Seq: ev.Seq, Kind: ev.Kind, At: int64(ev.At), Device: ev.Device,
		Body: body, Volatile: ev.Volatile, Anchor: wireAnchor(ev.Anchor), N: ev.N,
	}
}

// ackedEvents takes an ack of events. A name that is not under way, and is
// another than the one before, is the cloud going back.
func (s *session) ackedEvents(a *wire.EventAck) {
	e := &s.events
	if a == nil || e.source == nil {
		return
	}
	name := gateway.Name{Epoch: a.Epoch, Seq: a.Upto}
	i := slices.IndexFunc(e.flights, func(f flight) bool { return f.event == name })
	if i < 0 && name == e.acked {
		return
	}
	e.source.AckEvents(name)
	e.acked = name
	if i < 0 {
		s.lanes[laneEvents].ready = nil
		s.landEvents(len(e.flights))
		e.after = name
		return
	}
	s.acks++
	s.link.answer(e.flights[i], time.Now(), 0)
	s.landEvents(i + 1)
	s.u.set(func(st *Status) { st.Events, st.LastAck = st.Events+uint64(i)+1, time.Now() })
}

func (s *session) landEvents(n int) {
	gone := s.events.flights[:n]
	s.events.flights = s.events.flights[n:]
	for _, f := range gone {
		s.land(f)
	}
}
