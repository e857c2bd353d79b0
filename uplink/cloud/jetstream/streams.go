package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/uplink/wire"
)

const (
	streamName    = "FG_RAW"
	subjectPrefix = "fg.v1.raw.default."
	docsAtMost    = 1 << 30 // bytes of documents, or a twentieth of the space if that is less
)

// rawConfig is the log. Full must mean that publishing fails: then the
// readings stay on the gateways. So nothing here ever deletes a record; with
// DiscardNew a limit below what the stream holds does not either. Direct
// reads are off, for they may be answered by a server that lags behind.
func rawConfig(limit int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
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
}

// docConfig is the shelf. The server leaves a trace of what it deletes at the
// end of its ttl, so that watchers learn of it.
func docConfig(limit int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                   docStream,
		Subjects:               []string{docPrefix + ">"},
		Storage:                jetstream.FileStorage,
		Retention:              jetstream.LimitsPolicy,
		Discard:                jetstream.DiscardNew,
		MaxBytes:               limit,
		MaxMsgsPerSubject:      1,
		MaxMsgSize:             wire.MaxMessage,
		Duplicates:             2 * time.Minute,
		Replicas:               1,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: goneFor,
		AllowDirect:            false,
	}
}

// openStreams makes the streams, or sets their limits anew. A tenth of the
// disk's space stays free, so that the server never meets a full one.
func (l *Log) openStreams(ctx context.Context) error {
	space, err := l.space(ctx)
	if err != nil {
		return err
	}
	docs := min(space/20, docsAtMost)
	raw := l.opt.MaxBytes
	if raw == 0 {
		raw = space - docs
	}
	if l.stream, err = l.js.CreateOrUpdateStream(ctx, rawConfig(raw)); err != nil {
		return fmt.Errorf("open stream %s: %w", streamName, err)
	}
	if l.docs, err = l.js.CreateOrUpdateStream(ctx, docConfig(docs)); err != nil {
		return fmt.Errorf("open stream %s: %w", docStream, err)
	}
	return nil
}

// space is how many bytes the streams may hold together: what they hold, and
// nine tenths of what is free.
func (l *Log) space(ctx context.Context) (int64, error) {
	total, err := free(l.opt.Dir)
	if err != nil {
		return 0, err
	}
	total = total / 10 * 9
	for _, name := range []string{streamName, docStream} {
		s, err := l.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look at stream %s: %w", name, err)
		}
		total += int64(s.CachedInfo().State.Bytes)
	}
	return total, nil
}

// free gives how many bytes are free on the file system under dir.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: filepath.Clean(dir), Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
