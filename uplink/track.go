package uplink

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// What the cloud cannot store now is sent again after a time between these.
const (
	laterLeast = time.Second
	laterMost  = 30 * time.Second
)

// A position is what the cloud holds of an epoch.
type position struct {
	upto uint64
	done bool
}

// A track is where a session stands with one epoch: what the cloud said it
// holds, and what was sent behind that without an answer yet.
type track struct {
	cloud   position
	sent    uint64   // the newest seq that was sent or is ready to be
	ended   bool     // so is the end
	flights []flight // in order
	held    time.Time
	later   time.Duration // the last wait of a cloud that cannot store now and does not say how long
	high    uint64        // the most that acks of this session said
	doubt   *doubt        // what the cloud refused
}

// A flight is a message under way.
type flight struct {
	lane   lane
	epoch  gateway.EpochID
	pos    uint64 // what the cloud is to get next: one above what was sent before
	first  uint64 // as in the message; may be below pos
	last   uint64
	end    bool
	data   bool // it carries readings
	blocks int
	event  gateway.Name
	oldest gateway.Stamp // of a live update's readings; 0 if it has none
	bytes  int
	sent   time.Time
}

// answered tells whether an ack says that this message is stored.
func (f *flight) answered(p position) bool {
	return p.upto >= f.last && (p.done || !f.end)
}

// track gives the track of an epoch. One that the cloud has not spoken of and
// that has ended found no room in hello: it begins with its closing update,
// whose answer says what the cloud holds.
func (s *session) track(st gateway.EpochState) *track {
	t := s.tracks[st.ID]
	if t == nil {
		t = &track{}
		if st.Growth != gateway.Growing {
			t.cloud.upto, t.sent = st.Last, st.Last
			t.cloud.done, t.ended = finished(st, st.Acked, st.Done), finished(st, st.Acked, st.Done)
		}
		s.tracks[st.ID] = t
	}
	return t
}

// wants tells whether something of the epoch is left to be sent; it stands at
// t.sent+1.
func (t *track) wants(st gateway.EpochState) bool {
	switch {
	case t.doubt != nil && len(t.flights) > 0:
		return false // in doubt one thing after the other
	case st.Growth == gateway.Growing, t.sent < st.Last:
		return true
	}
	return !t.ended && !finished(st, t.cloud.upto, t.cloud.done)
}

// waitFor leaves the epoch alone for as long as the cloud asked, at least for
// laterLeast. If it did not say, each wait is twice the one before, up to
// laterMost, until something is stored. Nothing is wrong between the two sides,
// so it does not count as a refusal, and the session goes on.
func (t *track) waitFor(asked time.Duration) {
	wait := max(asked, laterLeast)
	if asked <= 0 {
		wait = min(max(2*t.later, laterLeast), laterMost)
		t.later = wait
	}
	t.held = time.Now().Add(wait)
}

// goBack gives up what was sent behind seq, to send it again.
func (s *session) goBack(t *track, seq uint64) {
	kept := 0
	for _, f := range t.flights {
		if f.pos <= seq && f.last <= seq && !f.end {
			t.flights[kept] = f
			kept++
			continue
		}
		s.land(f)
	}
	t.flights = t.flights[:kept]
	t.sent, t.ended = seq, false
}

// recall drops what is ready or asked for of an epoch: it was chosen by what
// the cloud said before.
func (s *session) recall(e gateway.EpochID) {
	for l := range s.lanes {
		c := &s.lanes[l]
		if c.ready != nil && lane(l) != laneEvents && c.ready.flight.epoch == e {
			c.ready = nil
		}
		if c.asked != nil && c.asked.st.ID == e {
			c.asked.stale = true
			c.asked.cancel()
		}
	}
}
