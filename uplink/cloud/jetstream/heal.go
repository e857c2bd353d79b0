package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
)

// The embedded server describes each stream and each consumer in two files,
// meta.inf and its checksum meta.sum, written one after the other and not
// synced. A power failure between them leaves what it warns of at every start
// and never mends, though nothing that is stored depends on it.

// undescribed tells whether a stream lies in the directory, but the server did
// not take it in.
func (l *Log) undescribed(ctx context.Context, name string) bool {
	dirs, _ := filepath.Glob(filepath.Join(l.opt.Dir, "jetstream", "*", "streams", name))
	if len(dirs) == 0 {
		return false
	}
	_, err := l.js.Stream(ctx, name)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// healConsumers takes away what is left of consumers whose description is not
// whole. The server is not running yet. Nobody but this process has consumers
// here, and makes them anew when it reads.
func (l *Log) healConsumers() {
	dirs, _ := filepath.Glob(filepath.Join(l.opt.Dir, "jetstream", "*", "streams", "*", "obs", "*"))
	gone := 0
	for _, dir := range dirs {
		if !described(dir) && os.RemoveAll(dir) == nil {
			gone++
		}
	}
	if gone > 0 {
		l.opt.Logger.Info("what a power failure left of readers of the log was removed; they are made anew", "readers", gone)
	}
}

// described tells whether both files are there and whole. What cannot be read
// now, for want of rights or open files or because the disk does not give it,
// may be: only what was read, or is missing, proves that it is not.
func described(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	sum, err2 := os.ReadFile(filepath.Join(dir, "meta.sum"))
	for _, e := range []error{err, err2} {
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			return true
		}
	}
	return err == nil && err2 == nil && len(sum) > 0 && json.Valid(text)
}
