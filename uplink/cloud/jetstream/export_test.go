package jetstream

import (
	"context"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig gives the stream's configuration as the server has it.
func (l *Log) StreamConfig() jetstream.StreamConfig { return l.stream.CachedInfo().Config }

// ServerOptions gives the options of the embedded server.
func ServerOptions(dir string) *server.Options { return serverOptions(dir, 1) }

// Stream gives the log's stream.
func (l *Log) Stream() jetstream.Stream { return l.stream }

// DeleteStream loses the log, but not the documents.
func (l *Log) DeleteStream(ctx context.Context) error { return l.js.DeleteStream(ctx, rawStream) }

// Leader gives the name of the server that leads the log's stream.
func (l *Log) Leader(ctx context.Context) string { return l.leaderNow(ctx) }

// Classify gives what a failed publish means.
func Classify(err error) error { return classify(err) }

// Busy takes all turns to append, until release.
func (l *Log) Busy() (release func()) {
	for range appendsAtOnce {
		l.turns <- struct{}{}
	}
	return func() {
		for range appendsAtOnce {
			<-l.turns
		}
	}
}
