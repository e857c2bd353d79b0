// Package jetstream keeps the cloud's log in a NATS JetStream that runs inside
// the process, without a listener. It is the only room that knows NATS.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	streamName    = "FG_RAW"
	subjectPrefix = "fg.v1.raw.default."
	noLimit       = 1 << 60          // bytes
	startWithin   = 30 * time.Second // opening a long log reads all of its block files
)

// Options says where the log lies. Dir is required.
type Options struct {
	Dir      string        // made with mode 0700 if missing
	MaxBytes int64         // the log takes no more; 0: what it has plus nine tenths of the free space
	Timeout  time.Duration // how long a request may take; 0: 5 s
	Logger   *slog.Logger  // nil: slog.Default()
}

// A Log is the stream FG_RAW of an embedded server. It implements cloud.Log
// and is safe for concurrent use.
type Log struct {
	opt    Options
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
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
	l := &Log{opt: opt}
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
	return l.openStream(ctx)
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

func (l *Log) openStream(ctx context.Context) error {
	limit := l.opt.MaxBytes
	if limit == 0 {
		used, err := l.used(ctx)
		if err != nil {
			return err
		}
		free, err := free(l.opt.Dir)
		if err != nil {
			return err
		}
		limit = used + free/10*9
	}
	// Full must mean that publishing fails: then the readings stay on the
	// gateways. So nothing here ever deletes a record; with DiscardNew a
	// limit below what the stream holds does not either.
	cfg := jetstream.StreamConfig{
		Name:        streamName,
		Subjects:    []string{subjectPrefix + "*"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    limit,
		MaxMsgSize:  wire.MaxMessage,
		Duplicates:  2 * time.Minute,
		Replicas:    1,
		AllowDirect: false,
	}
	var err error
	if l.stream, err = l.js.CreateOrUpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("open stream %s: %w", streamName, err)
	}
	return nil
}

// used is how many bytes the stream holds.
func (l *Log) used(ctx context.Context) (int64, error) {
	s, err := l.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", streamName, err)
	}
	return int64(s.CachedInfo().State.Bytes), nil
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

// free gives how many bytes are free on the file system under dir.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: filepath.Clean(dir), Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
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
