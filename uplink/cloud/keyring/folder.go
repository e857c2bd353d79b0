package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// folderLook is how often Watch looks at a folder.
const folderLook = time.Second

// maxDocument is the most that a file of a folder has, in bytes.
const maxDocument = 1 << 20

// A Folder is a KV of files for credentials and one-time tokens:
// "cred.plant-7" is plant-7.json, "token.9f…" is tokens/9f….json. Other
// programs may change the files meanwhile. What it was told to delete by
// itself after a time it does not: who reads must judge the age.
type Folder struct{ Dir string }

// path gives the file of a key, "" if there can be none.
func (f Folder) path(key string) string {
	kind, name, _ := strings.Cut(key, ".")
	if name == "" || strings.ContainsAny(name, "./") {
		return ""
	}
	return filepath.Join(f.of(kind), name+".json")
}

// of gives where the documents of a kind lie.
func (f Folder) of(kind string) string {
	if kind == "cred" {
		return f.Dir
	}
	return filepath.Join(f.Dir, kind+"s")
}

// Get implements record.KV.
func (f Folder) Get(_ context.Context, key string) (record.Doc, error) {
	path := f.path(key)
	body, err := files.Read(path, maxDocument)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return record.Doc{}, fmt.Errorf("%w: %s", record.ErrNoDoc, key)
	}
	if err != nil {
		return record.Doc{}, fmt.Errorf("read %s: %w", path, unreadable(path, err))
	}
	doc := record.Doc{Key: key, Rev: revOf(body), Body: body}
	if info, err := os.Stat(path); err == nil {
		doc.At = info.ModTime()
	}
	return doc, nil
}

// revOf makes a revision of a content: never 0, never AnyRev.
func revOf(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return binary.BigEndian.Uint64(sum[:])>>2 + 1
}

// Put implements record.KV.
func (f Folder) Put(ctx context.Context, key string, body []byte, rev uint64, _ time.Duration) (uint64, error) {
	path := f.path(key)
	if path == "" {
		return 0, fmt.Errorf("%q is no key", key)
	}
	release, err := f.lock()
	if err != nil {
		return 0, err
	}
	defer release()
	doc, err := f.Get(ctx, key)
	if err != nil && !errors.Is(err, record.ErrNoDoc) {
		return 0, err
	}
	if rev != record.AnyRev && rev != doc.Rev {
		return 0, fmt.Errorf("%w: %s", record.ErrRevision, key)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, fmt.Errorf("make folder of credentials: %w", err)
	}
	return revOf(body), durable.WriteFile(path, body, 0o600, nil)
}

// lock keeps other programs from changing anything until release.
func (f Folder) lock() (release func(), err error) {
	// The state directory around it is readable: see LockState.
	err = os.MkdirAll(filepath.Dir(f.Dir), 0o755)
	if err == nil {
		err = os.MkdirAll(f.Dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make folder of credentials: %w", err)
	}
	l, err := os.OpenFile(filepath.Join(f.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock credentials: %w", err)
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("lock credentials: %w", err)
	}
	return func() { _ = l.Close() }, nil
}

// Delete implements record.KV.
func (f Folder) Delete(_ context.Context, key string) error {
	path := f.path(key)
	err := os.Remove(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// List implements record.KV.
func (f Folder) List(ctx context.Context, prefix string) iter.Seq2[record.Doc, error] {
	return func(yield func(record.Doc, error) bool) {
		names, err := f.Names(prefix)
		if err != nil {
			yield(record.Doc{}, err)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			doc, err := f.Get(ctx, name)
			if errors.Is(err, record.ErrNoDoc) {
				continue // removed in this moment
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	}
}

// Names gives the keys of a kind, and when each file was made.
func (f Folder) Names(prefix string) (map[string]time.Time, error) {
	kind, only, _ := strings.Cut(prefix, ".")
	entries, err := os.ReadDir(f.of(kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", f.of(kind), err)
	}
	names := map[string]time.Time{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		info, err := e.Info()
		if ok && err == nil && (only == "" || name == only) && f.path(kind+"."+name) != "" {
			names[kind+"."+name] = info.ModTime()
		}
	}
	return names, nil
}

// Watch implements record.KV, by looking once a second whether the folder has
// changed: every change to it is a rename or a removal.
func (f Folder) Watch(ctx context.Context, prefix string, notify func(record.Doc)) error {
	kind, _, _ := strings.Cut(prefix, ".")
	known := map[string]time.Time{}
	var stamp time.Time
	tick := time.NewTicker(folderLook)
	defer tick.Stop()
	for {
		info, err := os.Stat(f.of(kind))
		// A change within the grain of the file system's clock, right after a
		// look, is seen because the stamp must be a while old to count.
		if err == nil && (!info.ModTime().Equal(stamp) || time.Since(stamp) < 2*folderLook) {
			stamp = info.ModTime()
			if err := f.changes(ctx, prefix, known, notify); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f Folder) changes(ctx context.Context, prefix string, known map[string]time.Time, notify func(record.Doc)) error {
	names, err := f.Names(prefix)
	if err != nil {
		return err
	}
	for key, at := range names {
		if known[key].Equal(at) {
			continue
		}
		known[key] = at
		if doc, err := f.Get(ctx, key); err == nil {
			notify(doc)
		}
	}
	for key := range known {
		if _, there := names[key]; !there {
			delete(known, key)
			notify(record.Doc{Key: key})
		}
	}
	return nil
}
