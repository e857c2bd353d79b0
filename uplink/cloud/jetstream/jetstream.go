// Package jetstream keeps the cloud's log and its documents in NATS JetStream,
// and carries its messages over NATS. It is the only room that knows NATS,
// which runs inside the process, without a listener.
//
// There are two streams. FG_RAW is the log: one record per message, one
// subject per gateway. FG_DOC is the shelf: one document per subject, of which
// the newest is kept. Nothing else is made for a gateway.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	noLimit     = 1 << 60          // bytes
	startWithin = 30 * time.Second // opening a long log reads all of its block files
)

// Options says where the log lies. Dir is required.
type Options struct {
	Dir      string        // made with mode 0700 if missing
	MaxBytes int64         // the log takes no more; 0: nine tenths of what is free or its own, less the shelf's part
	Timeout  time.Duration // how long a request may take; 0: 5 s
	Logger   *slog.Logger  // nil: slog.Default()
}

// A Log is the streams of an embedded server. It implements cloud.Log,
// cloud.Feed, cloud.Shelf and cloud.Bus, and is safe for concurrent use.
type Log struct {
	opt    Options
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream // FG_RAW
	docs   jetstream.Stream // FG_DOC
	alone  bool             // no other process uses these streams
	id     string           // of this process among those that do
}

// Open starts the server, which reads what lies in the directory, and makes
// the stream if it is not there yet. The caller closes the log.
func Open(ctx context.Context, opt Options) (*Log, error) {
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	l := &Log{opt: opt, alone: true}
	if err := l.start(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("open log in %s: %w", opt.Dir, err)
	}
	return l, nil
}

func (l *Log) start(ctx context.Context) error {
	var err error
	l.server, err = server.NewServer(serverOptions(l.opt.Dir))
	if err != nil {
		return fmt.Errorf("set up nats-server: %w", err)
	}
	l.server.SetLoggerV2(logger{l.opt.Logger.With("part", "nats-server")}, false, false, false)
	l.server.Start()
	if !l.server.ReadyForConnections(startWithin) {
		return fmt.Errorf("nats-server was not ready within %s", startWithin)
	}
	// A lost connection within the process means that the server is gone; a
	// buffer that publishes later what was given up now would break the chain.
	l.conn, err = nats.Connect("", nats.InProcessServer(l.server), nats.NoReconnect(), nats.ReconnectBufSize(-1))
	if err != nil {
		return fmt.Errorf("connect in process: %w", err)
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithDefaultTimeout(l.opt.Timeout)); err != nil {
		return fmt.Errorf("reach JetStream: %w", err)
	}
	return l.openStreams(ctx)
}

// serverOptions are what an ack rests on: every record is on the disk before
// the server answers, and nobody else can reach the server.
func serverOptions(dir string) *server.Options {
	return &server.Options{
		ServerName:             "fieldgate-cloud",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxStore:      noLimit, // only the stream's own limit counts: one below it would hide the stream
		JetStreamMaxMemory:     16 << 20,
		SyncAlways:             true,
		DisableJetStreamBanner: true,
	}
}

// Close stops the server, which writes its indexes. Nothing acknowledged
// depends on it.
func (l *Log) Close() {
	if l.conn != nil {
		l.conn.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
		l.server.WaitForShutdown()
	}
}

// Health says why the log cannot be written to, or nil. After a failed write
// the server refuses all further ones until it is started anew.
func (l *Log) Health() error {
	if !l.conn.IsConnected() {
		return errors.New("the connection to the embedded nats-server is lost")
	}
	if h := l.server.Healthz(nil); h.Error != "" {
		return fmt.Errorf("nats-server is not healthy: %s", strings.TrimSpace(h.Error))
	}
	return nil
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
