package store

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"go.etcd.io/bbolt"
)

// maxOpen is how many volumes are open at once, the one being written
// included: each maps its file into memory.
const maxOpen = 8

// A shelf opens and closes the volumes of a log.
type shelf struct {
	dir  string // log/
	disk *disk

	mu    sync.Mutex // held while a volume is read; never while one is written
	open  []*volume
	clock uint64
	shut  bool // nothing is opened any more
}

// list gives the volumes found in the log, lowest number first.
func (s *shelf) list() ([]*volume, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var all []*volume
	for _, f := range files {
		name, isDB := strings.CutSuffix(f.Name(), ".db")
		number, err := strconv.ParseUint(name, 10, 64)
		if !isDB || err != nil {
			continue
		}
		v := &volume{number: number, path: filepath.Join(s.dir, f.Name())}
		if info, err := f.Info(); err == nil {
			v.bytes = onCard(info)
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *volume) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// onCard is how many bytes a file takes. bbolt makes its files up to twice as
// long as what is in them; the rest is a hole.
func onCard(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}

func sizeOnCard(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return onCard(info), nil
}

func volumeName(number uint64) string { return fmt.Sprintf("%06d.db", number) }

// create makes a volume that may be written.
func (s *shelf) create(number uint64) (*volume, error) {
	v := &volume{number: number, path: filepath.Join(s.dir, volumeName(number)), writable: true}
	db, err := createBolt(s.disk, v.path, 0, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketBlocks)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.db = db
	s.open = append(s.open, v)
	return v, nil
}

// put commits records to a volume that may be written. One goroutine at a
// time. After an error the volume may not be written again.
func (s *shelf) put(v *volume, records []record) error {
	return s.disk.do(Step{Point: PointCommit, Path: v.path}, func() error {
		return guarded(func() error {
			return v.db.Update(func(tx *bbolt.Tx) error { return putAll(tx.Bucket(bucketBlocks), records) })
		})
	})
}

func putAll(b *bbolt.Bucket, records []record) error {
	b.FillPercent = 1 // keys only grow
	for i := range records {
		if err := b.Put(records[i].key(), records[i].value); err != nil {
			return err
		}
	}
	return nil
}

// read runs fn on the blocks of a volume, opening it if need be. What fn is
// given is valid only until it returns.
func (s *shelf) read(v *volume, fn func(*bbolt.Bucket) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.openLocked(v)
	if err == nil {
		err = guarded(func() error {
			return v.db.View(func(tx *bbolt.Tx) error { return fn(tx.Bucket(bucketBlocks)) })
		})
	}
	return proven(v.path, err)
}

func (s *shelf) openLocked(v *volume) error {
	if s.shut {
		return ErrClosed
	}
	s.clock++
	v.used = s.clock
	if v.db != nil {
		return nil
	}
	if len(s.open) >= maxOpen {
		oldest := slices.MinFunc(s.open, func(a, b *volume) int { return cmp.Compare(a.rank(), b.rank()) })
		s.closeLocked(oldest)
	}
	db, err := openBolt(v.path, true)
	if err != nil {
		return err
	}
	v.db = db
	s.open = append(s.open, v)
	return nil
}

// rank orders volumes by their last use, the one being written last.
func (v *volume) rank() uint64 {
	if v.writable {
		return math.MaxUint64
	}
	return v.used
}

func (s *shelf) closeLocked(v *volume) {
	if v.db == nil {
		return
	}
	_ = guarded(v.db.Close)
	v.db, v.writable = nil, false
	s.open = slices.DeleteFunc(s.open, func(o *volume) bool { return o == v })
}

// retire closes a volume for writing; it can still be read.
func (s *shelf) retire(v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(v)
}

// seal retires a volume that gets no more and cuts the file to what is in it:
// bbolt makes its files up to twice as long. If the cut fails the file is only
// longer than it need be.
func (s *shelf) seal(v *volume) error {
	var size int64
	err := s.read(v, func(b *bbolt.Bucket) error {
		size = b.Tx().Size() // up to the highest page in use
		return nil
	})
	s.retire(v)
	if err != nil {
		return err
	}
	// Behind this size no page is in use: whether the cut happened or not, the
	// file is whole.
	return s.disk.do(Step{Point: PointCut, Path: v.path}, func() error { return cutFile(v.path, size) })
}

// remove deletes a volume.
func (s *shelf) remove(v *volume) error {
	s.retire(v)
	return s.disk.unlink(v.path)
}

// closeAll closes every volume for good.
func (s *shelf) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	for len(s.open) > 0 {
		s.closeLocked(s.open[0])
	}
}
