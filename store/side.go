package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// A store that a later version of fieldgate wrote is not touched. Until that
// version is back readings go into side/, a store of its own beside it, whose
// ordinals and volume numbers are drawn from another range, so that its
// volumes can be moved over by the version that understands both.

// sideRange is where ordinals and volume numbers of side stores begin.
const sideRange = 1 << 40

// openSide opens the store beside one that is not to be touched, whose lock
// is kept.
func openSide(main *Store, cause error) (*Store, error) {
	o := main.o
	o.Dir = filepath.Join(o.Dir, "side")
	s, err := open(o)
	s.outer = main.lock
	if err != nil {
		return s, err
	}
	if len(s.order) == 0 {
		var random [8]byte
		_, _ = rand.Read(random[:])
		s.firstOrdinal = sideRange + binary.BigEndian.Uint64(random[:])%sideRange
		s.nextVolume = s.firstOrdinal
	}
	if main.facts.Install != "" {
		s.facts.Install = main.facts.Install
	}
	o.Conditions.Raise(ConditionVersion, main.o.Dir, health.Error, fmt.Sprintf(
		"The store in %s was written by a later version of fieldgate (%v). It is left as it is, its readings are not sent; new readings are kept and sent from %s. Install the later version again.",
		main.o.Dir, cause, o.Dir))
	return s, nil
}

// takeSide moves the volumes of a side store over, once the store beside it
// can be read again, and reports whether there were any: then the store is to
// be opened anew. What fails is tried at the next opening.
func (s *Store) takeSide() bool {
	dir := filepath.Join(s.o.Dir, "side")
	if _, err := os.Stat(dir); err != nil {
		return false
	}
	if err := s.moveSide(dir); err != nil {
		s.o.Log.Warn("Readings that an earlier version kept beside the store could not be taken over; the next start tries again.", "folder", dir, "error", err)
		return false
	}
	return true
}

func (s *Store) moveSide(dir string) error {
	o := s.o
	o.Dir = dir
	side, err := open(o)
	if err == nil {
		side.begin()
		err = side.Close() // its journal is in volumes now
	} else {
		side.release()
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	volumes, err := side.shelf.list()
	if err != nil {
		return err
	}
	for _, v := range volumes {
		err = errors.Join(err, s.disk.rename(v.path, filepath.Join(s.shelf.dir, filepath.Base(v.path))))
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
