// Package jetstream keeps the cloud's log and its documents in NATS JetStream,
// and carries its messages over NATS: a server inside the process, without a
// listener, or a cluster elsewhere. It is the only room that knows NATS.
//
// There are two streams. FG_RAW is the log: one record per message, one
// subject per gateway. FG_DOC is the KV: one document per subject, of which
// the newest is kept. Nothing else is made for a gateway.
package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	healthTries = 5
	healthPause = 50 * time.Millisecond
)

// Options says where the log lies: in Dir, or on the servers of URL.
type Options struct {
	// Dir is the directory of the server inside this process, made with mode
	// 0700 if missing.
	Dir      string
	MaxBytes int64 // the log takes no more; 0: nine tenths of what is free or its own, less the KV's part

	// URL names one or more servers of a cluster, separated by commas:
	// nats://, tls:// or ws://, user and password in it if need be.
	URL         string
	Creds       string      // credentials file of the account; "": none
	CA          string      // PEM file that the servers' certificates must lead to; "": the system's
	Replicas    int         // of each stream; 0: as they are, and 3 for new ones
	Interrupted func(error) // told when the connection broke, or another server leads; it must not block

	Timeout time.Duration // how long a request may take; 0: 5 s
	Logger  *slog.Logger  // nil: slog.Default()
}

// A Log is the two streams. It implements record.Log, record.Feed, record.KV
// and record.PubSub, and is safe for concurrent use.
type Log struct {
	opt    Options
	server *server.Server // the embedded one; nil on a cluster
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream // FG_RAW
	docs   jetstream.Stream // FG_DOC
	alone  bool             // no other process uses these streams
	id     string           // of this opening among all that use or used them
	level  wire.Level
	turns  chan struct{} // one for each append under way

	stop        context.CancelFunc
	watching    sync.WaitGroup
	subscribers subscribers
	ended       atomic.Pointer[ending] // what became of the cluster meanwhile
}

// An ending says why a cluster cannot be used until the log is opened anew.
type ending struct{ error }

// Open starts the server inside this process, which reads what lies in the
// directory, or connects to a cluster, and makes the streams if they are not
// there yet. The caller closes the log.
func Open(ctx context.Context, opt Options) (*Log, error) {
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	l := &Log{opt: opt, id: rand.Text(), stop: func() {}, turns: make(chan struct{}, appendsAtOnce)}
	open, where := l.embed, opt.Dir
	if opt.URL != "" {
		open, where = l.join, "NATS"
	}
	if err := open(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("open log in %s: %w", where, err)
	}
	return l, nil
}

// Close ends the connection, and the server inside this process, which writes
// its indexes. Nothing acknowledged depends on it.
func (l *Log) Close() {
	l.stop()
	l.watching.Wait()
	if l.conn != nil {
		l.conn.Close()
	}
	l.subscribers.close()
	if l.server != nil {
		l.server.Shutdown()
		l.server.WaitForShutdown()
	}
}

// Level is the durability of what Append has stored.
func (l *Log) Level() wire.Level { return l.level }

var errNoConnection = errors.New("there is no connection to nats-server")

// Health says why the log cannot be written to at the moment, or nil.
func (l *Log) Health() error {
	if !l.conn.IsConnected() {
		return errNoConnection
	}
	if err := l.Full(); err != nil {
		return err
	}
	return l.Broken()
}

// Broken says why the log cannot be written to until it is opened anew, or
// nil. After a failed write the embedded server refuses all further ones.
func (l *Log) Broken() error {
	if e := l.ended.Load(); e != nil {
		return e.error
	}
	if l.conn.IsClosed() {
		return fmt.Errorf("the connection to nats-server is closed: %w", cmp.Or(refusal(l.conn.LastError()), nats.ErrConnectionClosed))
	}
	if l.server == nil {
		return nil
	}
	return healthy(func() string { return l.server.Healthz(nil).Error })
}

// healthy asks a few times: the server gives itself a millisecond to answer
// that it has started (server.readyForConnections), and on a busy machine
// calls itself unhealthy for want of it. What is broken stays so.
func healthy(ask func() string) error {
	var said string
	for try := range healthTries {
		if try > 0 {
			time.Sleep(healthPause)
		}
		if said = ask(); said == "" {
			return nil
		}
	}
	return fmt.Errorf("nats-server is not healthy: %s", strings.TrimSpace(said))
}

// logger passes the server's own lines on. What it calls notices are details
// to whoever runs fieldgate-cloud.
type logger struct{ to *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.to.Error(fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.to.Error(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}
