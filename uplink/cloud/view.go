package cloud

import (
	"log/slog"
	"time"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A view is a session as the packages beside the server see it: command.Session
// and fleet.Session.
type view struct{ *session }

func (x view) GatewayID() string  { return x.gatewayID }
func (x view) Gen() uint64        { return x.gen }
func (x view) Since() time.Time   { return x.since }
func (x view) Seen() time.Time    { return time.UnixMilli(x.seen.Load()) }
func (x view) Hello() *wire.Hello { return x.hello }
func (x view) Log() *slog.Logger  { return x.log }

func (x view) Remark(level slog.Level, sentence string, args ...any) {
	x.remark(level, sentence, args...)
}

func (x view) Send(m wire.Message) error { return x.send(m) }
