package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What holds where welcome leaves something out.
const (
	defaultPing   = 30 * time.Second
	defaultMiss   = 2
	defaultRetain = 10 * time.Minute
)

// hello says who we are and what we hold.
func (u *Uplink) hello(ctx context.Context) *wire.Hello {
	anchor := u.o.Clock.Anchor()
	// All: the cloud takes what a whole list leaves out for gone. So the list does
	// not count as whole while a file of the store cannot be read.
	m := &wire.Hello{
		GatewayID: u.o.GatewayID,
		InstallID: u.o.InstallID,
		BootID:    anchor.Boot,
		Clock:     wire.ClockState{Quality: anchor.Quality, Offset: anchor.Offset, ErrMS: anchor.Error.Milliseconds()},
		Software:  u.o.Software,
		All:       u.o.Source.KnowsAll(),
	}
	newest, acked := u.o.Source.LastEvent()
	m.Events = &wire.HelloEvents{Epoch: newest.Epoch, Next: newest.Seq + 1}
	// The message has one epoch, that of this opening: the seq of an older one would
	// be taken for one of it.
	if acked.Epoch == newest.Epoch {
		m.Events.Acked = acked.Seq
	}
	if u.o.Waiting != nil {
		bytes, oldest := u.o.Waiting()
		m.Backlog.Bytes = bytes
		if !oldest.IsZero() {
			m.Backlog.OldestTS = wire.Time(oldest.UnixMicro())
		}
	}
	if u.o.Commands != nil {
		m.Caps = append(m.Caps, "commands")
	}
	if u.o.Config != nil {
		m.Caps, m.Cfg = append(m.Caps, "config"), u.applied()
	}
	states := u.o.Source.Epochs()
	for i, st := range states {
		open := !finished(st, st.Acked, st.Done)
		if open && st.Last > st.Acked {
			m.Backlog.N += st.Last - st.Acked
		}
		// What finds no place here is told later, by its closing update (see track). One
		// that is not finished makes the list incomplete.
		// The growing epoch, which comes last, always has a place.
		if i >= wire.MaxHelloEpochs-1 && i < len(states)-1 {
			m.All = m.All && !open
			continue
		}
		m.Epochs = append(m.Epochs, wire.HelloEpoch{Epoch: st.ID, Oldest: st.Oldest, Last: st.Last, Growth: st.Growth, Acked: st.Acked})
		m.Ends = append(m.Ends, u.openGap(ctx, st))
	}
	if !slices.ContainsFunc(m.Ends, func(sum uint32) bool { return sum != 0 }) {
		m.Ends = nil
	}
	return m
}

// openGap gives the sum by which the cloud knows the epoch's open gap from one
// that a copy of this card made; 0 if the epoch did not end so, or cannot be
// read now.
func (u *Uplink) openGap(ctx context.Context, st gateway.EpochState) uint32 {
	if st.Growth != gateway.OpenEnded {
		return 0
	}
	for seq := max(st.Last, st.Acked) + 1; ; {
		b, err := u.o.Source.Next(ctx, st.ID, seq, 0)
		switch {
		case b.End != nil:
			return openEnd(b.End).Sum()
		case err != nil, b.Last() < seq:
			return 0
		}
		seq = b.Last() + 1 // the cloud held more of it once
	}
}

// open exchanges hello for welcome and takes over what welcome says.
func (u *Uplink) open(ctx context.Context, l *line) (*session, error) {
	// A stop does not wait for an answer: closing the socket ends the read.
	stop := context.AfterFunc(ctx, func() { l.raw.Close() })
	defer stop()
	u.at("hello")
	hello := u.hello(ctx)
	if err := l.write(hello); err != nil {
		return nil, &stageError{"welcome", helloTimeout, err}
	}
	w, err := u.welcome(l)
	if err != nil {
		return nil, err
	}
	// From here on the cloud's word counts, also where it holds less than the last
	// session said.
	s := newSession(u, l, w)
	if err := s.resume(hello, w); err != nil {
		l.close(websocket.CloseProtocolError, "welcome contradicts hello")
		return nil, err
	}
	u.tellOnline(s, w)
	// A welcome is the proof that a trial waits for: the cloud can be reached by the
	// configuration that is in force.
	if u.o.Config != nil {
		u.o.Config.Ready()
	}
	return s, nil
}

// welcome waits for the answer to hello. An error message before it explains
// the close that follows.
func (u *Uplink) welcome(l *line) (*wire.Welcome, error) {
	until := time.Now().Add(helloTimeout)
	for {
		m, err := l.read(time.Until(until))
		var unknown *wire.UnknownTypeError
		switch {
		case errors.As(err, &unknown):
			continue // of a later version
		case errors.Is(err, wire.ErrMalformed):
			return nil, &protocolError{"its first message is not one of fieldgate.v1 (" + err.Error() + ")"}
		case err != nil:
			return nil, welcomeError(err)
		}
		switch m := m.(type) {
		case *wire.Welcome:
			return m, nil
		case *wire.Error:
			u.o.Log.Warn("the cloud answers hello with an error", "code", u.plain(m.Code), "message", u.plain(m.Message))
		default:
			return nil, &protocolError{fmt.Sprintf("it answers hello with %T", m)}
		}
	}
}

// welcomeError keeps what says more than the stage does.
func welcomeError(err error) error {
	var closed *websocket.CloseError
	var foreign *foreignError
	if errors.As(err, &closed) || errors.As(err, &foreign) {
		return err
	}
	return &stageError{"welcome", helloTimeout, err}
}

// resume takes the cloud's word for every epoch of hello. An epoch that it
// does not mention would be resent from 1, or never: so it must mention all.
func (s *session) resume(hello *wire.Hello, w *wire.Welcome) error {
	said := make(map[gateway.EpochID]wire.EpochAck, len(w.Epochs))
	for _, a := range w.Epochs {
		said[a.Epoch] = a
	}
	for _, e := range hello.Epochs {
		if _, ok := said[e.Epoch]; !ok {
			return &protocolError{fmt.Sprintf("its welcome leaves out epoch %v", e.Epoch)}
		}
	}
	// First the terms, then the acks: the store begins to count a session, and what
	// the acks below allow to be discarded depends on its level.
	s.u.o.Source.Session(w.Level == wire.LevelFsynced, s.retain)
	s.resumeEvents(w.Events)
	return s.take(w.Epochs)
}
