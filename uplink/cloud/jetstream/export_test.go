package jetstream

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig gives the stream's configuration as the server has it.
func (l *Log) StreamConfig() jetstream.StreamConfig { return l.stream.CachedInfo().Config }

// ServerOptions gives the options of the embedded server.
func ServerOptions(dir string) *server.Options { return serverOptions(dir) }
