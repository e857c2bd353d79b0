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
		if err := s.note(states[i], position{a.Upto, a.Done}); err != nil {
			return err
		}
		if err := s.answered(a); err != nil {
			return err
		}
	}
	return nil
}

// note takes the cloud's word for one epoch, also if it is less than before.
func (s *session) note(st gateway.EpochState, p position) error {
	if st.Growth != gateway.OpenEnded && p.upto > st.Last {
		return &protocolError{fmt.Sprintf("it claims reading %d of epoch %v, of which there are %d", p.upto, st.ID, st.Last)}
	}
	if err := s.u.o.Source.Ack(st.ID, p.upto, p.done); err != nil && !s.deaf {
		s.deaf = true
		s.u.o.Log.Warn("the store could not note an ack; it will be told again", "err", err)
	}
	if s.cloud[st.ID] != p {
		s.renew()
	}
	s.cloud[st.ID] = p
	return nil
}

// answered looks whether an ack is the answer to the update under way. One
// that repeats what was known before is not. One that goes back is, and counts
// as a refusal until the epoch gets further than it ever was: a cloud that goes
// up and down would be sent the same for ever.
func (s *session) answered(a wire.EpochAck) error {
	f := s.flight
	if f == nil || f.epoch != a.Epoch || a.Upto == f.pos-1 && !(f.end && a.Done) {
		return nil
	}
	s.landed()
	if a.Upto < f.pos-1 {
		return s.refused("its acks go back")
	}
	s.trusted(f)
	if a.Upto > s.high[a.Epoch] {
		s.high[a.Epoch], s.refusals = a.Upto, 0
	}
	s.acks++
	delete(s.held, a.Epoch)
	s.clear(a.Epoch, "the readings of this epoch are sent again")
	s.u.set(func(st *Status) {
		if upto := min(a.Upto, f.last); upto >= f.pos {
			st.Acked += upto - f.pos + 1
		}
		st.Updates++
		st.LastAck = time.Now()
	})
	return nil
}

// refused counts updates in a row that led nowhere.
func (s *session) refused(why string) error {
	if s.refusals++; s.refusals > tooManyRefusals {
		return &protocolError{fmt.Sprintf("it refused %d updates in a row (%s)", s.refusals, why)}
	}
	return nil
}

// landed ends the flight.
func (s *session) landed() {
	s.flight = nil
	s.late.Stop()
}

// nacked goes where the cloud wants to go on, or leaves the epoch alone.
func (s *session) nacked(m *wire.Nack) error {
	f := s.flight
	if f == nil || f.epoch != m.Epoch {
		return nil
	}
	s.landed()
	if m.Code != wire.NackSeq && m.Retry {
		after := min(max(time.Second, time.Duration(m.AfterMS)*time.Millisecond), hintMax)
		s.held[f.epoch] = time.Now().Add(after)
		return nil
	}
	if err := s.refused(string(m.Code)); err != nil {
		return err
	}
	if m.Code != wire.NackSeq {
		s.refuse(f, m.Code)
		return nil
	}
	states := s.u.o.Source.Epochs()
	i := slices.IndexFunc(states, func(st gateway.EpochState) bool { return st.ID == m.Epoch })
	if i < 0 {
		return nil
	}
	return s.note(states[i], position{upto: m.Expected - 1})
}
