package uplink

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	envelope      = 1024 // bytes of a message that are not blocks, at most
	blockOverhead = 4    // bytes that a block takes in a message beside itself
	liveSmall     = 200  // readings; a live update with fewer, that leaves nothing behind, …
	livePace      = time.Second
	holdFor       = 10 * time.Second // before the store is asked again for what it could not give
	refuseFor     = 10 * time.Minute // before what the cloud refused is tried again
)

// ask sends each idle fetcher for what its lane sends next, if there is room
// for it.
func (s *session) ask() {
	s.wake.Stop()
	if s.halt {
		return
	}
	states := s.u.o.Source.Epochs()
	s.unstick(states)
	now := time.Now()
	var wake time.Time
	for _, l := range []lane{laneLive, laneBacklog} {
		c := &s.lanes[l]
		if c.ready != nil || c.asked != nil || !s.room(l) {
			continue
		}
		st, until := s.pick(states, l, now)
		if !until.IsZero() && (wake.IsZero() || until.Before(wake)) {
			wake = until
		}
		if st != nil {
			s.request(c, l, *st)
		}
	}
	if s.lanes[laneBacklog].ready != nil && s.liveComes(now) { // the backlog waits for them, but not for long
		if until := s.lanes[laneLive].asked.at.Add(liveFetch); wake.IsZero() || until.Before(wake) {
			wake = until
		}
	}
	if !wake.IsZero() {
		s.wake.Reset(time.Until(wake))
	}
}

// room tells whether anything of a lane could leave soon: only then it is
// fetched, so that it is not old when it does.
func (s *session) room(l lane) bool {
	c := &s.lanes[l]
	if l == laneBacklog && !s.meter.allow().Backlog {
		return false // asked again with every heartbeat at the latest
	}
	return c.fits(0) && (l != laneBacklog || c.msgs == 0 || c.bytes < s.link.window)
}

func (s *session) request(c *channel, l lane, st gateway.EpochState) {
	t := s.track(st)
	r := &request{lane: l, st: st, seq: t.sent + 1, at: time.Now(), most: s.maxMsg - envelope, single: s.codec.Text || t.doubt != nil}
	if l == laneBacklog {
		r.most = min(r.most, s.link.message())
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	c.asked = r
	c.want <- r // the fetcher is idle
}

// pick chooses the epoch that a lane goes on with: the growing one for live,
// the oldest with something left for the backlog. If one must wait for a time,
// that is until.
func (s *session) pick(states []gateway.EpochState, l lane, now time.Time) (found *gateway.EpochState, until time.Time) {
	for i := range states {
		st := &states[i]
		if (st.Growth == gateway.Growing) != (l == laneLive) {
			continue
		}
		t := s.track(*st)
		if !t.wants(*st) {
			continue
		}
		wait := t.held
		if l == laneLive && s.pace.After(wait) {
			wait = s.pace
		}
		if !wait.After(now) {
			return st, until
		}
		if until.IsZero() || wait.Before(until) {
			until = wait
		}
	}
	return nil, until
}

// fetched makes a message of what the store gave.
func (s *session) fetched(f fetched) error {
	r, c := f.r, &s.lanes[f.r.lane]
	c.asked = nil
	r.cancel()
	if r.stale || s.halt {
		return nil
	}
	if f.err == nil {
		f.err = fits(f.blocks[0], r)
	}
	if f.err == nil {
		f.blocks, f.err = s.tailored(f.blocks, r.seq)
	}
	var data []byte
	var m *wire.Update
	if f.err == nil {
		m, f.err = s.message(f.blocks, r)
	}
	loose := s.pack(m)
	if f.err == nil {
		data, f.err = s.codec.Encode(m)
	}
	if f.err != nil {
		s.hold(r.st.ID, holdFor, fmt.Sprintf("the store cannot give readings of epoch %v from %d on: %s; they wait",
			r.st.ID, r.seq, s.u.plain(f.err.Error())))
		return nil
	}
	last := m.First + m.N - 1
	c.ready = &parcel{data: data, loose: loose, flight: flight{
		lane: r.lane, epoch: m.Epoch, pos: r.seq, first: m.First, last: last, end: m.End != nil,
		data: f.blocks[0].Data != nil, blocks: len(f.blocks),
	}}
	small := m.N < liveSmall || s.livePace() > livePace
	if h, err := block.Parse(f.blocks[0].Data); err == nil && r.lane == laneLive && h.Anchor.Boot == s.u.o.Clock.Anchor().Boot {
		c.ready.flight.oldest = h.T0
	}
	c.ready.paces = r.lane == laneLive && small && last >= r.st.Last
	t := s.track(r.st)
	t.sent, t.ended = max(t.sent, last), m.End != nil
	return nil
}

// pack makes a live update of one small block smaller, for a cloud that takes
// that, and gives what the next one is compared to.
func (s *session) pack(m *wire.Update) (loose []byte) {
	if !s.packs || m == nil || m.Lane != wire.LaneLive || len(m.Blocks) != 1 {
		return nil
	}
	packed, loose, err := s.packer.Pack(m.Blocks[0])
	if err != nil || len(packed) >= len(m.Blocks[0]) {
		return nil // too big: it goes as it is
	}
	m.Blocks, m.Packed = nil, packed
	return loose
}

// livePace is the time between two small live updates; between any two while
// the budget slows them down.
func (s *session) livePace() time.Duration { return max(livePace, s.meter.allow().Live) }

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

// openEnd puts an open gap on the wire.
func openEnd(e *gateway.End) *wire.End {
	anchor := wireAnchor(e.Anchor)
	return &wire.End{Why: e.Why, AtMost: e.AtMost, T0: int64(e.T0), T1: int64(e.T1), Anchor: &anchor}
}

// message puts what the store gave on the wire.
func (s *session) message(blocks []gateway.Block, r *request) (*wire.Update, error) {
	b := blocks[0]
	m := &wire.Update{Lane: wire.LaneBacklog, Epoch: b.Epoch, First: b.First, N: b.N}
	if r.lane == laneLive {
		m.Lane = wire.LaneLive
	}
	switch {
	case b.End != nil && b.End.Closed:
		m.End = &wire.End{Closed: &b.End.Last}
	case b.End != nil:
		// The cloud may hold more than the card does: what it holds is not
		// missing, so the open gap starts behind it.
		m.First = max(b.First, r.seq)
		m.End = openEnd(b.End)
	case b.Gap != nil:
		m.Gap = &wire.Gap{Why: b.Gap.Why, T0: int64(b.Gap.T0), T1: int64(b.Gap.T1), Anchor: wireAnchor(b.Gap.Anchor)}
	case s.codec.Text:
		return m, s.rows(m, b, r.seq)
	case b.Thinned:
		m.Thinned = b.Data
	default:
		m.N = 0
		for _, b := range blocks {
			m.Blocks = append(m.Blocks, b.Data)
			m.N += b.N
		}
	}
	return m, nil
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
			if t := s.track(states[i]); t.wants(states[i]) || len(t.flights) > 0 {
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
	s.tracks[e].held = time.Now().Add(d)
	s.u.stuck[e] = true
	s.u.o.Conditions.Raise(codeHeld, e.String(), health.Error, s.u.redact(sentence))
}
