package cloud

import (
	"log/slog"

	"github.com/fieldgate/fieldgate/uplink/cloud/command"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A commanded is a session as commands see it.
type commanded struct{ *session }

func (x commanded) GatewayID() string  { return x.gatewayID }
func (x commanded) Hello() *wire.Hello { return x.hello }
func (x commanded) Log() *slog.Logger  { return x.log }

func (x commanded) Remark(level slog.Level, sentence string, args ...any) {
	x.remark(level, sentence, args...)
}

func (x commanded) Send(m wire.Message) error { return x.send(m) }

// commandPart lets commands hear of sessions.
func commandPart(d *command.Dispatcher) part {
	return part{
		opened: func(x *session) { d.Opened(x.ctx, commanded{x}) },
		closed: func(x *session, _ error) { d.Closed(commanded{x}) },
		stored: func(x *session, _ record.Record, m wire.Message) { d.Stored(commanded{x}, m) },
		heard:  func(x *session, m wire.Message) { d.Heard(commanded{x}, m) },
		run:    d.Run,
	}
}
