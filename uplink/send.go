package uplink

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	envelope  = 1024 // bytes of a message that are not the block, at most
	liveSmall = 200  // readings; a live update with fewer, that leaves nothing behind, …
	livePace  = time.Second
	holdFor   = 10 * time.Second // before the store is asked again for what it could not give
	refuseFor = 10 * time.Minute // before what the cloud refused is tried again
)

// A position is what the cloud holds of an epoch.
type position struct {
	upto uint64
	done bool
}

// A flight is an update under way.
type flight struct {
	epoch gateway.EpochID
	pos   uint64 // what the cloud is to get next: upto+1 when it was sent
	first uint64
	last  uint64
	end   bool
	data  bool // it carries readings
}

// ask sends the fetcher for what is to be sent next, if nothing is under way.
func (s *session) ask() {
	if s.flight != nil || s.asked != nil || s.halt {
		return
	}
	st, seq, until := s.pick()
	s.wake.Stop()
	if !until.IsZero() {
		s.wake.Reset(time.Until(until))
	}
	if seq == 0 {
		return
	}
	r := &request{st: st, seq: seq}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	s.asked = r
	s.want <- r // the fetcher is idle
}

// renew calls the fetcher back, to choose anew what is to be sent.
func (s *session) renew() {
	if s.asked != nil {
		s.asked.stale = true
		s.asked.cancel()
	}
}

// pick chooses the oldest epoch with something left, and the seq in it; 0 if
// there is none now. If something older must wait for a time, that is until.
func (s *session) pick() (st gateway.EpochState, seq uint64, until time.Time) {
	now := time.Now()
	states := s.u.o.Source.Epochs()
	s.unstick(states)
	for _, st := range states {
		p, left := s.position(st)
		if !left {
			continue
		}
		wait := s.held[st.ID]
		if st.Growth == gateway.Growing && s.pace.After(wait) {
			wait = s.pace
		}
		if !wait.After(now) {
			return st, p.upto + 1, until
		}
		if until.IsZero() || wait.Before(until) {
			until = wait
		}
	}
	return gateway.EpochState{}, 0, until
}

// position gives what the cloud holds of an epoch, and whether anything is
// left to send.
func (s *session) position(st gateway.EpochState) (p position, left bool) {
	p, said := s.cloud[st.ID]
	switch {
	case said:
		return p, !finished(st, p.upto, p.done)
	case st.Growth == gateway.Growing:
		return position{}, true // begun after hello: the cloud cannot know it
	default:
		// Found no room in hello: its closing update is answered with what the
		// cloud holds.
		return position{upto: st.Last}, !finished(st, st.Acked, st.Done)
	}
}

// fetched sends what the store gave.
func (s *session) fetched(f fetched) error {
	r := s.asked
	s.asked = nil
	r.cancel()
	if r.stale || s.halt {
		return nil
	}
	if f.err == nil {
		f.err = fits(f.block, r)
	}
	if f.err == nil {
		f.block, f.err = s.tailor(f.block, r.seq)
	}
	if f.err != nil {
		s.hold(r.st.ID, holdFor, fmt.Sprintf("the store cannot give readings of epoch %v from %d on: %s; they wait", r.st.ID, r.seq, s.u.plain(f.err.Error())))
		return nil
	}
	m := message(f.block, r)
	data, err := wire.Encode(m)
	if err != nil {
		return err
	}
	if err := s.writeFrame(data); err != nil {
		return err
	}
	s.flight = &flight{epoch: m.Epoch, pos: r.seq, first: m.First, last: m.First + m.N - 1, end: m.End != nil, data: m.Blocks != nil}
	if m.Lane == wire.LaneLive && m.N < liveSmall && s.flight.last >= r.st.Last {
		s.pace = time.Now().Add(livePace)
	}
	s.late.Reset(ackTimeout)
	return nil
}

// fits checks that the store gave what was asked for: a hole between would be
// silent, and the cloud would refuse what lies behind it.
func fits(b gateway.Block, r *request) error {
	switch {
	case b.Epoch != r.st.ID:
		return fmt.Errorf("gave epoch %v", b.Epoch)
	case b.First > r.seq:
		return fmt.Errorf("has nothing before %d, and no gap in its place", b.First)
	case b.End == nil && (b.N == 0 || b.Last() < r.seq):
		return fmt.Errorf("gave %d readings from %d", b.N, b.First)
	}
	return nil
}

// message puts what the store gave on the wire.
func message(b gateway.Block, r *request) *wire.Update {
	m := &wire.Update{Lane: wire.LaneBacklog, Epoch: b.Epoch, First: b.First, N: b.N}
	if r.st.Growth == gateway.Growing {
		m.Lane = wire.LaneLive
	}
	switch {
	case b.End != nil && b.End.Closed:
		m.End = &wire.End{Closed: &b.End.Last}
	case b.End != nil:
		// The cloud may hold more than the card does: what it holds is not
		// missing, so the open gap starts behind it.
		m.First = max(b.First, r.seq)
		anchor := wireAnchor(b.End.Anchor)
		m.End = &wire.End{Why: b.End.Why, AtMost: b.End.AtMost, T0: int64(b.End.T0), T1: int64(b.End.T1), Anchor: &anchor}
	case b.Gap != nil:
		m.Gap = &wire.Gap{Why: b.Gap.Why, T0: int64(b.Gap.T0), T1: int64(b.Gap.T1), Anchor: wireAnchor(b.Gap.Anchor)}
	case b.Thinned:
		m.Thinned = b.Data
	default:
		m.Blocks = [][]byte{b.Data}
	}
	return m
}

func wireAnchor(a gateway.Anchor) wire.Anchor {
	return wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: a.Error.Microseconds()}
}

// unstick ends the condition of epochs of which nothing is left to send: the
// cloud got it otherwise, or the store gave it up.
func (s *session) unstick(states []gateway.EpochState) {
	for e := range s.u.stuck {
		i := slices.IndexFunc(states, func(st gateway.EpochState) bool { return st.ID == e })
		if i >= 0 {
			if _, left := s.position(states[i]); left {
				continue
			}
		}
		s.clear(e, "nothing of this epoch waits any more")
	}
}

// clear ends what hold has told.
func (s *session) clear(e gateway.EpochID, sentence string) {
	if s.u.stuck[e] {
		delete(s.u.stuck, e)
		s.u.o.Conditions.Clear(codeHeld, e.String(), sentence)
	}
}

// hold leaves an epoch alone for a time, and says so aloud. Other epochs go on.
func (s *session) hold(e gateway.EpochID, d time.Duration, sentence string) {
	s.held[e] = time.Now().Add(d)
	s.u.stuck[e] = true
	s.u.o.Conditions.Raise(codeHeld, e.String(), health.Error, s.u.redact(sentence))
}
