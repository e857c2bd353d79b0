package uplink

import (
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// tooManyRefusals in a row, without an ack between, end a session: the cloud
// and we do not mean the same, and trying on would only be fast. Halving the
// largest block down to one reading takes 17.
const tooManyRefusals = 25

// take notes what the cloud says it holds, of a welcome or an ack.
func (s *session) take(acks []wire.EpochAck) error {
	states := s.u.o.Source.Epochs()
	for _, a := range acks {
		i := slices.IndexFunc(states, func(st gateway.EpochState) bool { return st.ID == a.Epoch })
		if i < 0 {
			continue // long forgotten here
		}
		if err := s.acked(states[i], position{a.Upto, a.Done}); err != nil {
			return err
		}
	}
	return nil
}

// acked takes an ack of one epoch. One that goes back counts as a refusal,
// until the epoch gets further than it ever was: a cloud that goes up and down
// would be sent the same for ever.
func (s *session) acked(st gateway.EpochState, p position) error {
	// Compared before note, which moves what it is compared with.
	t := s.tracks[st.ID]
	back := t != nil && (p.upto < t.cloud.upto || t.cloud.done && !p.done)
	if err := s.note(st, p); err != nil {
		return err
	}
	if back {
		return s.refused("its acks go back")
	}
	s.delivered(st.ID, p.upto)
	return nil
}

// note takes the cloud's word for one epoch, also if it is less than before.
func (s *session) note(st gateway.EpochState, p position) error {
	// Of an epoch that a power cut ended, the cloud may hold more than the card: it
	// was sent out of RAM. Of any other that cannot be.
	if st.Growth != gateway.OpenEnded && p.upto > st.Last {
		return &protocolError{fmt.Sprintf("it claims reading %d of epoch %v, of which there are %d", p.upto, st.ID, st.Last)}
	}
	// The store has it in RAM. If power dies before that is on the card, the next
	// welcome says the same again.
	if err := s.u.o.Source.Ack(st.ID, p.upto, p.done); err != nil && !s.deaf {
		s.deaf = true
		s.u.o.Log.Warn("the store could not note an ack; it will be told again", "error", err)
	}
	t := s.tracks[st.ID]
	if t == nil { // the first word of this session about it
		s.tracks[st.ID] = &track{cloud: p, sent: p.upto, ended: finished(st, p.upto, p.done)}
		return nil
	}
	before := t.cloud
	t.cloud = p
	if s.landed(t, p) {
		t.held, t.later = time.Time{}, 0
		s.clear(st.ID, "the readings of this epoch are sent again")
	}
	switch {
	case p.upto > t.sent: // it got them otherwise
		s.recall(st.ID)
		t.sent = p.upto
	// It holds less than it did, or ends inside of a message: then what is under way
	// does not follow what it holds, and goes again from there.
	case p.upto < before.upto, before.done && !p.done, p.upto != s.boundary(st.ID, t):
		s.recall(st.ID)
		s.goBack(t, p.upto)
	}
	t.ended = t.ended || finished(st, p.upto, p.done)
	return nil
}

// boundary is what the cloud holds if it has taken nothing of what is under way.
func (s *session) boundary(e gateway.EpochID, t *track) uint64 {
	if len(t.flights) > 0 {
		return t.flights[0].pos - 1
	}
	for l := range s.lanes {
		if p := s.lanes[l].ready; p != nil && lane(l) != laneEvents && p.flight.epoch == e {
			return p.flight.pos - 1
		}
	}
	return t.sent
}

// landed takes out of the air what the cloud says it holds, and tells whether
// that was anything.
func (s *session) landed(t *track, p position) (progress bool) {
	// One ack answers many messages, in the order in which they left.
	for len(t.flights) > 0 && t.flights[0].answered(p) {
		f := t.flights[0]
		t.flights = t.flights[1:]
		s.land(f)
		s.link.answer(f, time.Now(), s.lanes[laneBacklog].win.Bytes)
		s.trusted(t, f)
		s.count(f, p)
		progress = true
	}
	if progress && p.upto > t.high {
		t.high, s.refusals = p.upto, 0
	}
	return progress
}

// count adds up what was acknowledged.
func (s *session) count(f flight, p position) {
	s.acks++
	s.u.mu.Lock()
	if f.oldest > 0 {
		s.u.late.add(s.u.o.Clock.Stamp().Sub(f.oldest))
	}
	s.u.mu.Unlock()
	s.u.set(func(st *Status) {
		if upto := min(p.upto, f.last); upto >= f.pos {
			st.Acked += upto - f.pos + 1
		}
		st.Updates++
		st.LastAck = time.Now()
	})
}

// refused counts updates in a row that led nowhere.
func (s *session) refused(why string) error {
	if s.refusals++; s.refusals > tooManyRefusals {
		return &protocolError{fmt.Sprintf("it refused %d updates in a row (%s)", s.refusals, why)}
	}
	return nil
}

// nacked goes where the cloud wants to go on, or leaves the epoch alone. A nack
// of what is not under way any more is the echo of one before.
func (s *session) nacked(m *wire.Nack) error {
	t := s.tracks[m.Epoch]
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.flights, func(f flight) bool { return f.first == m.First && f.last == m.First+m.N-1 })
	if i < 0 {
		return nil
	}
	f := t.flights[i]
	// A nack is an answer: the lane lives. The message and all that followed it are
	// given up, because the cloud takes nothing behind a hole.
	s.lanes[f.lane].alive = time.Now()
	s.recall(m.Epoch)
	s.goBack(t, f.pos-1)
	// The cloud cannot store now. That is no disagreement: it does not count.
	if m.Code != wire.NackSeq && m.Retry {
		t.waitFor(time.Duration(min(m.AfterMS, hintMax.Milliseconds())) * time.Millisecond)
		return nil
	}
	if err := s.refused(string(m.Code)); err != nil {
		return err
	}
	// It does not like the content: the parts get smaller until the one reading is
	// found that it refuses.
	if m.Code != wire.NackSeq {
		s.refuse(t, f, m.Code)
		return nil
	}
	states := s.u.o.Source.Epochs()
	i = slices.IndexFunc(states, func(st gateway.EpochState) bool { return st.ID == m.Epoch })
	if i < 0 {
		return nil
	}
	if err := s.note(states[i], position{upto: m.Expected - 1}); err != nil {
		return err
	}
	// What was sent before may still be without an answer, and never get one
	// (the cloud could not read it): this answer is newer, and it counts.
	s.goBack(t, m.Expected-1)
	return nil
}
