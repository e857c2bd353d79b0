package jetstream

import (
	"context"
	"errors"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig gives the stream's configuration as the server has it.
func (l *Log) StreamConfig() jetstream.StreamConfig { return l.stream.CachedInfo().Config }

// ServerOptions gives the options of the embedded server.
func ServerOptions(dir string) *server.Options { return serverOptions(dir, 1) }

// Conn gives the connection, to do what an operator does.
func (l *Log) Conn() *nats.Conn { return l.conn }

// Stream gives the log's stream.
func (l *Log) Stream() jetstream.Stream { return l.stream }

// DeleteStream loses the log, but not the documents.
func (l *Log) DeleteStream(ctx context.Context) error { return l.js.DeleteStream(ctx, rawStream) }

// LookEvery is how often what happens at the cluster is looked at.
const LookEvery = lookEvery

// RenewEvery is how often a server that consumes says that it is there.
const RenewEvery = renewEvery

// Leader gives the name of the server that leads the log's stream.
func (l *Log) Leader(ctx context.Context) string {
	info, _ := infoOf(ctx, l.stream)
	return leaderOf(info).server
}

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

// MoveTwice moves a cursor twice to the same place, as when the answer to the
// first was lost; meanwhile is called between.
func (l *Log) MoveTwice(ctx context.Context, name string, meanwhile func()) error {
	c := &cursor{log: l, key: cursorPrefix + name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadLocked(ctx); err != nil {
		return err
	}
	at, rev := c.at, c.rev
	at.Seq++
	err := c.putLocked(ctx, at)
	c.rev = rev
	meanwhile()
	return errors.Join(err, c.putLocked(ctx, at))
}

// Healthy gives what is told of a server that says so of itself.
func Healthy(ask func() string) error { return healthy(ask) }
