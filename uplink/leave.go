package uplink

import (
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// drained begins the end that the cloud asked for: what is under way is
// finished, and nothing more is sent.
func (s *session) drained(m *wire.Drain) {
	if s.drain == nil {
		s.halt = true
		s.drain = &drainedError{
			after:  time.Duration(m.AfterMS) * time.Millisecond,
			spread: time.Duration(m.SpreadMS) * time.Millisecond,
			reason: m.Reason, url: m.URL,
		}
		s.u.set(func(st *Status) { st.State = Draining })
	}
}

// bye closes in order: after our close frame the other side sends its own.
func (s *session) bye() error {
	var end error = errStopped
	code, reason := websocket.CloseGoingAway, "gateway stops"
	if s.drain != nil {
		end, code, reason = s.drain, websocket.CloseNormalClosure, "drained"
	}
	s.close(code, reason)
	late := time.After(closeGrace)
	for {
		select {
		case in := <-s.in:
			if fatal(in.err) {
				return end
			}
		case <-s.wrote:
		case <-late:
			return end
		}
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
