package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A session is one welcomed connection. All fields are owned by the goroutine
// of Run; the reader, the writer and the fetchers know only the channels and
// the line.
type session struct {
	*line
	u      *Uplink
	ready  time.Time
	ping   time.Duration // between pings
	dead   time.Duration // of silence
	spread time.Duration
	retain time.Duration
	maxMsg int    // bytes in one message
	blockN uint64 // readings in one block

	tracks map[gateway.EpochID]*track
	lanes  [laneCount]channel
	shares shares
	events eventCursor
	link   throttle  // of the backlog
	pace   time.Time // no small live update before
	urgent []func() wire.Message
	halt   bool          // no further updates: an orderly stop or a drain has begun
	drain  *drainedError // the cloud asked for the end

	due      delivery
	acks     int
	refusals int // in a row
	rejected int // readings that became gaps
	dec      *block.Decoder
	enc      *block.Encoder
	garbled  int    // messages of the cloud that made no sense
	deaf     bool   // the store could not note an ack; told once
	blamed   bool   // the cloud did not understand a message; told once
	reported []byte // the last status
	sync     timesync
	packs    bool // the cloud takes packed blocks
	packer   block.Packer

	in      chan incoming
	out     chan []byte
	wrote   chan error
	writing bool // the writer has a message
	got     chan fetched
	beat    *time.Timer // next ping
	late    *time.Timer // the ack is overdue
	wake    *time.Timer // pace or a hold ends
}

// An incoming is what the reader got, and when.
type incoming struct {
	m   wire.Message
	err error
	at  gateway.Stamp
}

func newSession(u *Uplink, l *line, w *wire.Welcome) *session {
	s := &session{
		line: l, u: u, ready: time.Now(),
		ping: defaultPing, retain: defaultRetain, blockN: wire.MaxBlockN,
		spread: time.Duration(w.SpreadS) * time.Second,
		maxMsg: wire.DefaultMessage,
		tracks: map[gateway.EpochID]*track{},
		link:   newThrottle(),
		in:     make(chan incoming),
		out:    make(chan []byte),
		wrote:  make(chan error),
		got:    make(chan fetched),
		sync:   timesync{until: l.until},
		packs:  slices.Contains(w.Caps, "packed"),
	}
	if w.HB.PingS > 0 {
		s.ping = time.Duration(w.HB.PingS) * time.Second
	}
	miss := defaultMiss
	if w.HB.Miss > 0 {
		miss = w.HB.Miss
	}
	s.dead = s.ping * time.Duration(miss+1)
	if w.RetainS > 0 {
		s.retain = time.Duration(w.RetainS) * time.Second
	}
	if w.Lim.Msg > 0 {
		s.maxMsg = w.Lim.Msg
	}
	s.maxMsg = min(s.maxMsg, u.maxMsg)
	if w.Lim.BlockN > 0 {
		s.blockN = uint64(w.Lim.BlockN)
	}
	if l.codec.Text {
		s.blockN = min(s.blockN, uint64((s.maxMsg-envelope)/rowSize))
	}
	windows := wire.DefaultWindows
	if w.Win != nil {
		windows = *w.Win
	}
	s.open(windows)
	s.sync.take(u, int64(w.Time))
	return s
}

// run serves the session until it breaks (the error says how) or ctx is done
// and it has ended orderly (errStopped).
func (s *session) run(ctx context.Context) error {
	// The parts outlive ctx: after it is done, serve still waits for the acks of
	// what is under way.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	if s.plain() {
		s.once.done = own.Done()
		defer s.settle()
	}
	parts.Go(func() { s.reader(own) })
	parts.Go(func() { s.writer(own) })
	for _, l := range []lane{laneLive, laneBacklog} {
		c := &s.lanes[l]
		c.want = make(chan *request)
		parts.Go(func() { s.fetcher(own, c.want) })
	}
	// These run from the last to the first: the socket is closed, which ends a read
	// and a write that hang; the parts are joined; and only then is a plain line
	// settled, because its writer must have ended.
	defer parts.Wait()
	defer cancel()
	defer s.forget()
	defer s.raw.Close() // also ends a write that hangs
	s.beat = time.NewTimer(jitter(s.ping))
	s.late, s.wake = time.NewTimer(ackTimeout), time.NewTimer(ackTimeout)
	s.late.Stop()
	s.wake.Stop()
	if !s.plain() {
		s.due = s.owed()
		s.burst()
		s.report()
	}
	err := s.serve(ctx)
	var broken *writeError
	if errors.As(err, &broken) {
		err = s.lastWord(err)
	}
	return err
}

// serve is the loop of the session: whatever happens, happens here.
func (s *session) serve(ctx context.Context) error {
	stop := ctx.Done()
	var grace <-chan time.Time
	for {
		// Whatever happened in the turn before may have made room, or brought something
		// to send. So each turn looks at all of it anew.
		arrival := s.takeEvents()
		s.ask()
		if s.link.measure(time.Now(), s.lanes[laneBacklog].msgs) {
			s.heartbeat()
		}
		s.handOver()
		// Nothing more is sent, and nothing is without an answer: an end in order.
		if s.halt && !s.waiting() {
			return s.bye()
		}
		// The cloud drains: what is under way has so long to be acknowledged.
		if s.drain != nil && grace == nil {
			grace = time.After(drainGrace)
		}
		var err error
		select {
		case in := <-s.in:
			err = s.handle(in)
		case f := <-s.got:
			err = s.fetched(f)
		case err = <-s.wrote:
			s.writing = false
			if err == nil && s.plain() {
				err = s.written()
			}
		case <-arrival: // of an event
		case m := <-s.outgoing():
			s.say(func() wire.Message { return m })
		case <-s.beat.C:
			s.beat.Reset(s.ping)
			s.link.rested() // a cloud that answers no pings is asked for nothing else
			s.pingNow()
		case <-s.late.C:
			err = s.overdue()
		case <-s.wake.C: // ask anew
		case <-stop:
			// stop becomes nil, because a channel that is closed would be chosen in every
			// turn from now on.
			stop, grace = nil, time.After(stopGrace)
			s.halt = true
		case <-grace:
			// What has no ack by now stays in the store and is sent again in the next
			// session.
			return s.bye()
		}
		if err != nil {
			return err
		}
	}
}

// say queues a message of control, which goes before everything else. It is
// made when it leaves, so that what it says of the time is right.
func (s *session) say(m func() wire.Message) { s.urgent = append(s.urgent, m) }

// pingNow sends the heartbeat, and with it the status if it is another.
func (s *session) pingNow() {
	if s.plain() {
		s.pingPlain()
		return
	}
	s.report()
	s.heartbeat()
}

func (s *session) heartbeat() {
	s.say(func() wire.Message { return s.sync.ping(s.u.o.Clock.Stamp()) })
}

// overdue ends a session whose cloud answers nothing, unless it said that it
// cannot store for now.
func (s *session) overdue() error {
	if s.paused() || s.plain() && s.once.moved() {
		s.late.Reset(ackTimeout)
		return nil
	}
	return errNoAnswer
}

// forget gives up what the fetchers wait for.
func (s *session) forget() {
	for l := range s.lanes {
		if r := s.lanes[l].asked; r != nil {
			r.cancel()
		}
	}
}

// reader passes on what comes in until the line ends or falls silent.
func (s *session) reader(ctx context.Context) {
	for {
		m, err := s.read(s.dead)
		select {
		case s.in <- incoming{m, err, s.u.o.Clock.Stamp()}:
		case <-ctx.Done():
			return
		}
		if fatal(err) {
			return
		}
	}
}

// fatal reports whether a read error ends the line.
func fatal(err error) bool {
	var unknown *wire.UnknownTypeError
	return err != nil && !errors.Is(err, wire.ErrMalformed) && !errors.As(err, &unknown)
}

// writer writes one message at a time, so that a slow line does not keep the
// session from hearing.
func (s *session) writer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case data := <-s.out:
			err := s.writeFrame(data)
			select {
			case s.wrote <- err:
			case <-ctx.Done():
				return
			}
		}
	}
}

// handle takes one message of the cloud.
func (s *session) handle(in incoming) error {
	if in.err != nil {
		return s.garble(in.err)
	}
	if s.plain() {
		return nil // whatever it says
	}
	switch m := in.m.(type) {
	case *wire.Ack:
		s.ackedEvents(m.Events)
		s.setWindows(m.Win)
		s.tellPaused(m.Why)
		return s.take(m.Epochs)
	case *wire.Nack:
		return s.nacked(m)
	case *wire.Ping:
		// A cloud that asks faster than the line carries does not get every answer.
		if len(s.urgent) < maxUrgent {
			s.say(func() wire.Message { return s.sync.pong(s.u.o.Clock, m, in.at) })
		}
	case *wire.Pong:
		// Only the answer to a ping of ours measures the line.
		if delay, ours := s.sync.sample(s.u, m, in.at); ours {
			s.link.roundTrip(delay)
			s.link.rested()
		}
	case *wire.Command:
		if s.u.o.Commands == nil {
			return s.garble(&wire.UnknownTypeError{Type: wire.TypeCommand})
		}
		// The stamp of its arrival, not of now: its time to live counts from there.
		s.u.o.Commands.Take(commandOf(m), in.at)
	case *wire.Config:
		if s.u.o.Config == nil {
			return s.garble(&wire.UnknownTypeError{Type: wire.TypeConfig})
		}
		// It does not act here: a trial ends this session, and that is not for the
		// goroutine of the session to do.
		s.u.o.Config.Take(desiredOf(m))
	case *wire.Drain:
		s.drained(m)
	case *wire.Bye:
		s.drained(&wire.Drain{AfterMS: 1000 * m.NextS, Reason: m.Reason})
	case *wire.Error:
		if !s.blamed {
			s.blamed = true
			s.u.o.Log.Warn("the cloud did not understand a message", "code", s.u.plain(m.Code), "message", s.u.plain(m.Message))
		}
	default:
		return s.garble(fmt.Errorf("%w: %T in a session", wire.ErrMalformed, m))
	}
	return nil
}

// garble answers what cannot be understood. A type that is not known is the
// future and welcome; a cloud that keeps sending what is no message is not.
func (s *session) garble(err error) error {
	if fatal(err) {
		return err
	}
	code := "unknown_type"
	if errors.Is(err, wire.ErrMalformed) {
		code = "malformed"
		s.garbled++
	}
	if s.garbled >= 3 {
		s.close(wire.CloseUndecodable, "three messages that are none")
		return &protocolError{"its messages cannot be decoded (" + err.Error() + ")"}
	}
	if text := s.u.plain(err.Error()); len(s.urgent) < maxUrgent {
		s.say(func() wire.Message { return &wire.Error{Code: code, Message: text} })
	}
	return nil
}
