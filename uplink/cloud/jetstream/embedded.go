package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const startWithin = 30 * time.Second // opening a long log reads all of its block files

// embed starts a server inside this process.
func (l *Log) embed(ctx context.Context) error {
	if err := os.MkdirAll(l.opt.Dir, 0o700); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	space, err := l.space()
	if err != nil {
		return err
	}
	// The server would hide a stream that was promised more, on a larger disk.
	atMost := max(space, l.promised(), l.opt.MaxBytes+docsAtMost)
	l.server, err = server.NewServer(serverOptions(l.opt.Dir, atMost))
	if err != nil {
		return fmt.Errorf("set up nats-server: %w", err)
	}
	l.healConsumers()
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
	l.alone, l.level = true, wire.LevelFsynced
	return l.openStreams(ctx, space)
}

// serverOptions are what an ack rests on: every record is on the disk before
// the server answers, and nobody else can reach the server.
func serverOptions(dir string, atMost int64) *server.Options {
	return &server.Options{
		ServerName:             "fieldgate-cloud",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxStore:      atMost,
		JetStreamMaxMemory:     16 << 20,
		SyncAlways:             true,
		DisableJetStreamBanner: true,
	}
}

// space is how many bytes the streams may hold together: what their files have
// now, and nine tenths of what is free. So the server never meets a full disk,
// as long as nobody else fills it.
func (l *Log) space() (int64, error) {
	space, _, err := diskOf(l.opt.Dir)
	if err != nil {
		return 0, err
	}
	space = space / 10 * 9
	err = filepath.WalkDir(l.opt.Dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nats-server deletes in the background
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if fi, err := d.Info(); err == nil {
			space += fi.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look through the log's files: %w", err)
	}
	return space, nil
}

// promised is the sum of the limits that the streams have in their files. A
// file that cannot be read is the server's to report.
func (l *Log) promised() (sum int64) {
	descriptions, _ := filepath.Glob(filepath.Join(l.opt.Dir, "jetstream", "*", "streams", "*", "meta.inf"))
	for _, f := range descriptions {
		var limits struct {
			MaxBytes int64 `json:"max_bytes"`
		}
		b, err := files.Read(f, files.MostPEM)
		if err == nil && json.Unmarshal(b, &limits) == nil {
			sum += max(limits.MaxBytes, 0)
		}
	}
	return sum
}

// openStreams makes the streams, or sets their limits anew. A limit below what
// a stream holds takes nothing away.
func (l *Log) openStreams(ctx context.Context, space int64) (err error) {
	docs := min(space/20, docsAtMost)
	raw := l.opt.MaxBytes
	if raw == 0 {
		raw = space - docs
	}
	stream, err := l.openStream(ctx, rawConfig(raw, 1))
	if err != nil {
		return err
	}
	kv, err := l.openStream(ctx, docConfig(docs, 1))
	if err != nil {
		return err
	}
	if l.stream == nil { // else they are in use, and their limits have changed
		l.stream, l.docs = stream, kv
	}
	return nil
}

// openStream makes a stream or sets its limits. On a disk without any room the
// limits cannot be written: then it is used as it is, for reading.
func (l *Log) openStream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if l.undescribed(ctx, want.Name) {
		l.opt.Logger.Warn("the description of a stream was cut off, as a power failure does; it is made anew: "+
			"nothing that is stored is lost, and the ledger and the database read it again",
			"stream", want.Name)
		made := want
		made.MaxBytes-- // only a change of limits writes the description anew where there is one
		if _, err := l.js.CreateStream(ctx, made); err != nil {
			return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
		}
	}
	s, err := l.js.CreateOrUpdateStream(ctx, want)
	if err != nil && l.Full() != nil {
		if there, e := l.js.Stream(ctx, want.Name); e == nil {
			return there, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return s, nil
}
