package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A session is one welcomed connection. All fields are owned by the goroutine
// of Run; the reader and the fetcher know only the channels and the line.
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

	cloud  map[gateway.EpochID]position  // what the cloud said it holds
	held   map[gateway.EpochID]time.Time // what cannot be sent before that time
	high   map[gateway.EpochID]uint64    // the most that acks of this session said
	doubts map[gateway.EpochID]*doubt    // what the cloud refused
	flight *flight                       // the update that waits for its ack
	asked  *request                      // what the fetcher is waiting for
	pace   time.Time                     // no small live update before
	halt   bool                          // an orderly stop has begun

	acks     int
	refusals int // in a row
	rejected int // readings that became gaps
	dec      *block.Decoder
	enc      *block.Encoder
	garbled  int  // messages of the cloud that made no sense
	deaf     bool // the store could not note an ack; told once
	blamed   bool // the cloud did not understand a message; told once
	sync     timesync

	in   chan incoming
	want chan *request
	got  chan fetched
	beat *time.Timer // next ping
	late *time.Timer // the ack is overdue
	wake *time.Timer // pace or a hold ends
}

// An incoming is what the reader got, and when.
type incoming struct {
	m   wire.Message
	err error
	at  gateway.Stamp
}

// A request asks the fetcher for what an epoch has at a seq.
type request struct {
	ctx    context.Context
	cancel context.CancelFunc
	st     gateway.EpochState
	seq    uint64
	stale  bool // the cloud's word changed meanwhile: ask anew
}

// A fetched answers a request.
type fetched struct {
	block gateway.Block
	err   error
}

func newSession(u *Uplink, l *line, w *wire.Welcome) *session {
	s := &session{
		line: l, u: u, ready: time.Now(),
		ping: defaultPing, retain: defaultRetain, blockN: wire.MaxBlockN,
		spread: time.Duration(w.SpreadS) * time.Second,
		maxMsg: wire.DefaultMessage,
		cloud:  map[gateway.EpochID]position{},
		held:   map[gateway.EpochID]time.Time{},
		high:   map[gateway.EpochID]uint64{},
		doubts: map[gateway.EpochID]*doubt{},
		in:     make(chan incoming),
		want:   make(chan *request),
		got:    make(chan fetched),
		sync:   timesync{until: l.until},
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
	s.sync.take(u, int64(w.Time))
	return s
}

// run serves the session until it breaks (the error says how) or ctx is done
// and it has ended orderly (errStopped).
func (s *session) run(ctx context.Context) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	parts.Go(func() { s.reader(own) })
	parts.Go(func() { s.fetcher(own) })
	defer parts.Wait()
	defer cancel()
	defer s.forget()
	defer s.raw.Close()
	// A write that hangs must not outlast the grace.
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-own.Done():
		case <-time.After(stopGrace + closeGrace):
			s.raw.Close()
		}
	})
	defer stop()

	s.beat = time.NewTimer(jitter(s.ping))
	s.late, s.wake = time.NewTimer(ackTimeout), time.NewTimer(ackTimeout)
	s.late.Stop()
	s.wake.Stop()
	err := s.burst()
	if err == nil {
		err = s.serve(ctx)
	}
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
		s.ask()
		if s.halt && s.flight == nil {
			return s.bye()
		}
		var err error
		select {
		case in := <-s.in:
			err = s.handle(in)
		case f := <-s.got:
			err = s.fetched(f)
		case <-s.beat.C:
			s.beat.Reset(s.ping)
			err = s.write(s.sync.ping(s.u.o.Clock.Stamp()))
		case <-s.late.C:
			err = errNoAnswer
		case <-s.wake.C:
			s.renew()
		case <-stop:
			stop, grace = nil, time.After(stopGrace)
			s.halt = true
		case <-grace:
			s.flight = nil
		}
		if err != nil {
			return err
		}
	}
}

// forget gives up what the fetcher waits for.
func (s *session) forget() {
	if s.asked != nil {
		s.asked.cancel()
	}
}

// lastWord explains a write error: if the cloud closed, its close frame says
// why, and is still to be read.
func (s *session) lastWord(broken error) error {
	late := time.After(closeGrace)
	for {
		select {
		case in := <-s.in:
			var closed *websocket.CloseError
			if errors.As(in.err, &closed) {
				return in.err
			}
			if fatal(in.err) {
				return broken
			}
		case <-late:
			return broken
		}
	}
}

// bye closes in order: after our close frame the other side sends its own.
func (s *session) bye() error {
	s.close(websocket.CloseGoingAway, "gateway stops")
	late := time.After(closeGrace)
	for {
		select {
		case in := <-s.in:
			if fatal(in.err) {
				return errStopped
			}
		case <-late:
			return errStopped
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

// fetcher waits for the store, one request after the other.
func (s *session) fetcher(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.want:
			block, err := s.u.o.Source.Next(r.ctx, r.st.ID, r.seq, s.maxMsg-envelope)
			select {
			case s.got <- fetched{block, err}:
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
	switch m := in.m.(type) {
	case *wire.Ack:
		return s.take(m.Epochs)
	case *wire.Nack:
		return s.nacked(m)
	case *wire.Ping:
		return s.write(s.sync.pong(s.u.o.Clock, m, in.at))
	case *wire.Pong:
		s.sync.sample(s.u, m, in.at)
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
	return s.write(&wire.Error{Code: code, Message: s.u.plain(err.Error())})
}
