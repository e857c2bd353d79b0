package jetstream

import "github.com/nats-io/nats.go/jetstream"

// StreamConfig gives the stream's configuration as the server has it.
func (l *Log) StreamConfig() jetstream.StreamConfig { return l.stream.CachedInfo().Config }
