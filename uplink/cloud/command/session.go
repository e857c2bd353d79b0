package command

import (
	"log/slog"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Session is the connection of a gateway, as commands need it. One that is
// opened and closed twice is two.
type Session interface {
	GatewayID() string
	Hello() *wire.Hello
	// Log is for what this server does wrong, Remark for what the gateway does:
	// it is as often in the journal as one gateway is worth it.
	Log() *slog.Logger
	Remark(level slog.Level, sentence string, args ...any)
	// Send may be called by several goroutines. That it succeeded proves nothing.
	Send(m wire.Message) error
}
