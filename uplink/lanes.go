package uplink

import (
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A lane is a kind of traffic with a window of its own.
type lane int

// The lanes, in the order in which they leave.
const (
	laneEvents lane = iota
	laneLive        // the growing epoch
	laneBacklog
	laneCount
)

// maxUrgent messages of control wait at most; a cloud that asks for more
// answers does not get them.
const maxUrgent = 64

// backlogPart: of this many bytes the backlog gets one when others wait too.
const backlogPart = 8

// liveFetch is how long the backlog waits for live readings that the store is
// about to give.
const liveFetch = time.Second

// A channel is one lane of a session.
type channel struct {
	win   wire.Window
	msgs  int       // sent, without an answer yet
	bytes int       // of these
	alive time.Time // the cloud last answered here, or what is under way left
	ready *parcel   // what leaves next

	want  chan *request // to the lane's fetcher; nil for events
	asked *request      // what it is waiting for
}

// A parcel is an encoded message that waits for its turn.
type parcel struct {
	data   []byte
	flight flight
	loose  []byte // of a packed block: what the next one is compared to
	paces  bool   // a live update after which the next one waits a second
}

// fits tells whether a message of so many bytes may leave now. One always may,
// however big, unless the cloud has closed the window.
func (c *channel) fits(bytes int) bool {
	return c.win.Msgs > 0 && (c.msgs == 0 || c.msgs < c.win.Msgs && c.bytes+bytes <= c.win.Bytes)
}

// setWindows takes over what the cloud allows from now on; nil changes nothing.
func (s *session) setWindows(w *wire.Windows) {
	if w == nil {
		return
	}
	before := s.paused()
	s.open(*w)
	if before && !s.paused() {
		s.u.split()
		s.restartLate()
	}
}

func (s *session) open(w wire.Windows) {
	s.lanes[laneEvents].win, s.lanes[laneLive].win, s.lanes[laneBacklog].win = w.Ev, w.Live, w.Back
}

// paused tells whether the cloud takes no readings for now.
func (s *session) paused() bool { return s.lanes[laneLive].win.Msgs == 0 }

// tellPaused keeps the status in step with the windows.
func (s *session) tellPaused(why string) {
	state := Online
	switch {
	case s.drain != nil:
		return
	case s.paused():
		state = Paused
	}
	why = s.u.plain(why)
	s.u.set(func(st *Status) {
		if st.State == Online || st.State == Paused {
			st.State, st.PausedBy = state, ""
		}
		if state == Paused {
			st.PausedBy = why
		}
	})
}

// waiting tells whether an answer of the cloud or the writer is still awaited.
func (s *session) waiting() bool {
	for l := range s.lanes {
		if s.lanes[l].msgs > 0 {
			return true
		}
	}
	return s.writing
}

// handOver gives the writer the next message if it has none: control first,
// then what choose says.
func (s *session) handOver() {
	if s.writing {
		return
	}
	for len(s.urgent) > 0 {
		m := s.urgent[0]()
		s.urgent = s.urgent[1:]
		data, err := s.codec.Encode(m)
		if err != nil {
			s.u.o.Log.Error("a message cannot be encoded", "error", err)
			continue
		}
		s.meter.message(m, len(data))
		s.hand(data)
		return
	}
	if s.halt {
		return
	}
	if l := s.choose(); l < laneCount {
		s.launch(l)
	}
}

func (s *session) hand(data []byte) {
	s.writing = true
	s.out <- data // the writer is idle
}

// choose gives the lane whose turn it is; laneCount if there is nothing that
// may leave now. Events go before live before backlog, but backlog gets its
// part, and events take no more than live while both wait.
func (s *session) choose() lane {
	var can [laneCount]bool
	for l := range s.lanes {
		c := &s.lanes[l]
		can[l] = c.ready != nil && c.fits(len(c.ready.data))
	}
	can[laneBacklog] = can[laneBacklog] && !s.link.resting
	if b := &s.lanes[laneBacklog]; can[laneBacklog] && b.msgs > 0 && b.bytes+len(b.ready.data) > s.link.window {
		can[laneBacklog] = false
	}
	if size := s.lanes[laneBacklog].size(); s.liveComes(time.Now()) && !s.shares.due(size) {
		can[laneBacklog] = false
	}
	return s.shares.next(can, s.lanes[laneBacklog].size())
}

// liveComes tells whether the live readings that the store has are being
// fetched: a message of the backlog that leaves in that moment would stand
// before them, for half a second on a slow line. A store that takes longer than
// liveFetch is not waited for.
func (s *session) liveComes(now time.Time) bool {
	r := s.lanes[laneLive].asked
	return r != nil && !r.stale && r.seq <= r.st.Last && now.Sub(r.at) < liveFetch
}

func (c *channel) size() int {
	if c.ready == nil {
		return 0
	}
	return len(c.ready.data)
}

// launch sends what is ready in a lane.
func (s *session) launch(l lane) {
	c := &s.lanes[l]
	p := c.ready
	c.ready = nil
	p.flight.bytes, p.flight.sent = len(p.data), time.Now()
	if p.loose != nil {
		s.packer.Sent(p.loose)
	}
	if c.msgs == 0 {
		c.alive = time.Now()
	}
	c.msgs++
	c.bytes += len(p.data)
	s.watch()
	s.shares.sent(l, len(p.data))
	if p.paces {
		s.pace = time.Now().Add(s.livePace())
	}
	if l == laneEvents {
		s.events.flights = append(s.events.flights, p.flight)
	} else {
		t := s.tracks[p.flight.epoch]
		t.flights = append(t.flights, p.flight)
	}
	s.meter.lane(l, len(p.data))
	s.hand(p.data)
}

// land takes a message out of the air: it was answered, or given up.
func (s *session) land(f flight) {
	c := &s.lanes[f.lane]
	c.msgs--
	c.bytes -= f.bytes
	c.alive = time.Now()
	s.watch()
}

// restartLate gives what is under way time anew in every lane.
func (s *session) restartLate() {
	for l := range s.lanes {
		s.lanes[l].alive = time.Now()
	}
	s.watch()
}

// watch sets the timer for the lane that is without an answer for longest. An
// answer in one lane says nothing of another: an end that nobody answers would
// be waited for as long as there are live readings.
func (s *session) watch() {
	var first time.Time
	for l := range s.lanes {
		if c := &s.lanes[l]; c.msgs > 0 && (first.IsZero() || c.alive.Before(first)) {
			first = c.alive
		}
	}
	if first.IsZero() {
		s.late.Stop()
		return
	}
	s.late.Reset(time.Until(first.Add(ackTimeout)))
}

// shares keep a lane from starving another.
type shares struct {
	others int // bytes of events and live since the last backlog
	events int // bytes of events since the last live
}

// next chooses among the lanes that can send; backlog is the size of what the
// backlog would send.
func (h *shares) next(can [laneCount]bool, backlog int) lane {
	switch {
	case can[laneBacklog] && h.due(backlog):
		return laneBacklog
	case can[laneEvents] && can[laneLive] && h.events > 0:
		return laneLive
	}
	for l, ok := range can {
		if ok {
			return lane(l)
		}
	}
	return laneCount
}

// due tells whether the backlog gets its part now, with so many bytes.
func (h *shares) due(backlog int) bool { return h.others >= (backlogPart-1)*backlog }

// sent counts what has left.
func (h *shares) sent(l lane, bytes int) {
	switch l {
	case laneBacklog:
		h.others = 0
	case laneEvents:
		h.others += bytes
		h.events += bytes
	case laneLive:
		h.others += bytes
		h.events = max(0, h.events-bytes)
	}
}
