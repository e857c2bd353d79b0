package uplink

import (
	"bytes"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// report tells the cloud how the gateway is, at the beginning of a session and
// with the heartbeats after which it is another. Figures alone, which always
// change, are no reason.
func (s *session) report() {
	if s.u.o.Report == nil {
		return
	}
	m := s.u.o.Report()
	figures := m.Figures
	m.Figures = nil
	now, err := s.codec.Encode(m)
	if err != nil {
		s.u.o.Log.Error("the status cannot be encoded and is not sent", "error", err)
		return
	}
	m.Figures = figures
	if !bytes.Equal(now, s.reported) {
		s.reported = now
		s.say(func() wire.Message { return m })
	}
}
