package cloud_test

import (
	"fmt"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func event(e gateway.EpochID, seq uint64) *wire.Event {
	return &wire.Event{Epoch: e, Seq: seq, Kind: gateway.EventAlarm, At: int64(seq),
		Body: fmt.Appendf(nil, `{"seq":%d}`, seq), Anchor: wireAnchor}
}

// eventsInLog gives the names of the events that the gateway's chain holds.
func (s *site) eventsInLog() (names []string) {
	s.t.Helper()
	for r, err := range s.log.Read(s.t.Context(), s.id, 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Kind != record.KindEvent {
			continue
		}
		m, err := wire.Decode(r.Body)
		e, ok := m.(*wire.Event)
		if err != nil || !ok || e.Epoch != r.Epoch || e.Seq != r.First || r.N != 0 {
			s.t.Fatalf("record %+v holds %+v, %v", r, m, err)
		}
		names = append(names, fmt.Sprintf("%s %d", e.Epoch, e.Seq))
	}
	return names
}

// TestEventsOnce sends events twice, with numbers left out, over sessions and
// a restart of the server: each is in the log once.
func TestEventsOnce(t *testing.T) {
	s := newSite(t, nil)
	a, b := gateway.NewEpochID(), gateway.NewEpochID()
	p, w := s.open(a)
	if w.Events == nil || w.Events.Upto != 0 {
		t.Errorf("a new gateway is welcomed with events %+v", w.Events)
	}
	send := func(e gateway.EpochID, seq uint64) {
		t.Helper()
		p.send(event(e, seq))
		if got := recv[*wire.Ack](p); got.Events == nil || *got.Events != (wire.EventAck{Epoch: e, Upto: seq}) || len(got.Epochs) != 0 {
			t.Errorf("event %d acked with %+v", seq, got)
		}
	}
	send(a, 1)
	send(a, 5)
	send(a, 5)
	send(a, 3) // folded into 5, or known: never stored out of order
	p.acked(readings(t, a, 1, 3, 3))
	p.conn.Close()

	p, w = s.open(a)
	if w.Events == nil || *w.Events != (wire.EventAck{Epoch: a, Upto: 5}) {
		t.Errorf("welcomed with %+v", w.Events)
	}
	send(a, 5)
	send(b, 2)
	s.stop()
	s.start(nil)
	p, w = s.open(a)
	if w.Events == nil || *w.Events != (wire.EventAck{Epoch: b, Upto: 2}) {
		t.Errorf("welcomed after a restart with %+v", w.Events)
	}
	send(b, 1)
	send(a, 4)
	send(a, 7)
	want := fmt.Sprint([]string{a.String() + " 1", a.String() + " 5", b.String() + " 2", a.String() + " 7"})
	if got := fmt.Sprint(s.eventsInLog()); got != want {
		t.Errorf("the log holds\n%s, want\n%s", got, want)
	}
	s.wantSeqs(a, 3) // readings and events have names of their own
}

// TestEventsBesideReadings: neither waits for the other.
func TestEventsBesideReadings(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	for i := range uint64(20) { // within the windows
		p.send(event(e, i+1))
		p.send(readings(t, e, i+1, 1, 1))
		for upto, events := uint64(0), uint64(0); upto <= i || events <= i; {
			m := recv[*wire.Ack](p)
			if len(m.Epochs) > 0 {
				upto = m.Epochs[0].Upto
			}
			if m.Events != nil {
				events = m.Events.Upto
			}
		}
	}
	if n := len(s.eventsInLog()); n != 20 {
		t.Errorf("%d events in the log", n)
	}
	s.wantSeqs(e, 20)
}
