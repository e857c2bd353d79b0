package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/durable"
)

// openBolt opens an existing file that is sound.
func openBolt(path string, readOnly bool) (db *bbolt.DB, err error) {
	if err := soundFile(path); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: readOnly, Timeout: time.Second, NoStatistics: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// createBolt makes a file that is there complete or not at all: under another
// name, closed, synced, renamed, its folder synced. It takes room bytes of the
// card at least. The handle returned may write.
func createBolt(d *disk, path string, room int64, fill func(*bbolt.Tx) error) (*bbolt.DB, error) {
	// bbolt writes a new file in several steps. If power dies in one of them, what
	// is there has the temporary name, and is deleted by the next opening.
	if err := makeBolt(d, path+temporary, room, fill); err != nil {
		return nil, err
	}
	if err := d.rename(path+temporary, path); err != nil {
		return nil, err
	}
	return openBolt(path, false)
}

// temporary ends the names of files that are being made. What has it at the
// start is deleted.
const temporary = ".tmp"

// makeBolt makes a file and syncs it. Of one that failed nothing stays: it
// would take the room that is missing.
func makeBolt(d *disk, path string, room int64, fill func(*bbolt.Tx) error) error {
	err := d.do(Step{Point: PointFile, Path: path}, func() error {
		if _, err := fillBolt(path, fill); err != nil {
			return err
		}
		reserve(path, room)
		return durable.SyncFile(path)
	})
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// reserve lets a file take so many bytes of the card, its holes filled, so
// that writing to it needs no more. Where the file system cannot do that, or
// has not so much left, the file stays as it is.
func reserve(path string, room int64) {
	if room == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fallocate(int(f.Fd()), 0, 0, room)
}

// makeVolume makes a volume that gets no more, cut to its length, and syncs it.
func makeVolume(d *disk, path string, records []record) error {
	err := d.do(Step{Point: PointFile, Path: path}, func() error {
		size, err := fillBolt(path, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketBlocks)
			if err != nil {
				return err
			}
			return putAll(b, records)
		})
		if err != nil {
			return err
		}
		return cutFile(path, size)
	})
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// cutFile cuts a file that bbolt made to what is in it, and syncs it.
func cutFile(path string, size int64) error {
	if err := os.Truncate(path, size); err != nil {
		return err
	}
	return durable.SyncFile(path)
}

// fillBolt makes a file in place of what is there, and tells how much of it
// is in use.
func fillBolt(path string, fill func(*bbolt.Tx) error) (size int64, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	err = guarded(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoStatistics: true})
		if err != nil {
			return err
		}
		err = db.Update(fill)
		if err == nil {
			err = db.View(func(tx *bbolt.Tx) error {
				size = tx.Size()
				return nil
			})
		}
		return errors.Join(err, db.Close())
	})
	return size, err
}

// removeTemporary deletes what an earlier process did not finish making.
func removeTemporary(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+temporary))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
