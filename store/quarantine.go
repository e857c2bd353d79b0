package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	quarantineFiles = 8 // kept at most, the newest …
	quarantineShare = 8 // … and not more than this part of max_size
)

// keepAside gives a damaged file a second name in quarantine.
func (s *Store) keepAside(path string) (kept string, err error) {
	dir := filepath.Join(s.o.Dir, "quarantine")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	kept = filepath.Join(dir, fmt.Sprintf("%s.%s", filepath.Base(path), time.Now().UTC().Format("20060102T150405.000")))
	if err := s.disk.link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	s.limitQuarantine(dir)
	return kept, nil
}

// quarantine moves a damaged file out of the way.
func (s *Store) quarantine(path string, cause error) {
	dir := filepath.Join(s.o.Dir, "quarantine")
	name := filepath.Base(path)
	to := filepath.Join(dir, fmt.Sprintf("%s.%s", name, time.Now().UTC().Format("20060102T150405.000")))
	moved := "was moved to " + dir
	if err := errors.Join(os.MkdirAll(dir, 0o700), s.disk.rename(path, to)); err != nil {
		moved = fmt.Sprintf("could not be moved away (%v)", err)
	}
	s.o.Conditions.Raise(ConditionDamage, name, health.Error, fmt.Sprintf(
		"%s is damaged (%v) and %s; the list of epochs is rebuilt from the readings, and what the cloud has is learned "+
			"again from it.", path, cause, moved))
	s.limitQuarantine(dir)
}

// limitQuarantine keeps the newest files.
func (s *Store) limitQuarantine(dir string) {
	files, _ := os.ReadDir(dir)
	slices.SortFunc(files, func(a, b fs.DirEntry) int { return modified(b).Compare(modified(a)) })
	total := int64(0)
	for i, f := range files {
		path := filepath.Join(dir, f.Name())
		size, err := sizeOnCard(path)
		if err != nil {
			continue
		}
		total += size
		if i >= quarantineFiles || s.o.MaxSize > 0 && total > s.o.MaxSize/quarantineShare {
			if err := s.disk.unlink(path); err != nil {
				s.o.Log.Warn("an old file in quarantine could not be deleted", "file", path, "error", err)
			}
		}
	}
	s.measureBeside()
}

func modified(f fs.DirEntry) time.Time {
	info, err := f.Info()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
