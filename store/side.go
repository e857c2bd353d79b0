package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fieldgate/fieldgate/gateway"
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
	s, err := openBeside(o)
	s.outer = main.lock
	if err != nil {
		return s, err
	}
	if main.facts.Install != "" {
		s.facts.Install = main.facts.Install
	}
	main.o.Conditions.Raise(ConditionVersion, main.o.Dir, health.Error, fmt.Sprintf(
		"The store in %s was written by a later version of fieldgate (%v). It is left as it is, its readings are not sent; "+
			"new readings are kept and sent from %s. Install the later version again.",
		o.Dir, cause, s.o.Dir))
	return s, nil
}

// openBeside opens the store in side/.
func openBeside(o Options) (*Store, error) {
	o.Dir = filepath.Join(o.Dir, "side")
	s, err := open(o)
	if err == nil && len(s.order) == 0 {
		var random [8]byte
		_, _ = rand.Read(random[:])
		s.firstOrdinal = sideRange + binary.BigEndian.Uint64(random[:])%sideRange
		s.nextVolume = s.firstOrdinal
	}
	return s, err
}

// withSide gives the store, opened anew if there were readings beside it that
// it took over.
func (s *Store) withSide() (*Store, error) {
	side := s.adoptSide()
	if side == nil {
		return s, nil
	}
	_ = s.state.close() // it was only read
	s.unlock()
	whole, err := open(s.o)
	if err != nil {
		return whole, err
	}
	for _, e := range side.order { // its volumes say what is in them, not how their epochs ended
		if moved := whole.epochs[e.ID]; moved != nil {
			moved.entry = e.entry
		}
	}
	whole.besideEvents = side.lane.held[side.lane.acked:]
	return whole, nil
}

// nameBesideEvents gives the events from beside the store names of this
// opening: the lane is in the order of names.
func (s *Store) nameBesideEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.besideEvents {
		s.lane.last++
		h.Name, h.ordinal, h.saved = gateway.Name{Epoch: s.lane.id, Seq: s.lane.last}, s.lane.ordinal, false
		s.lane.held = append(s.lane.held, h)
		s.lane.bytes += h.size()
	}
	s.besideEvents = nil
}

// adoptSide moves the volumes of a side store over, once the store beside it
// can be read again, and gives what it was; nil if there was none: else the
// store is to be opened anew. What fails is tried at the next opening.
func (s *Store) adoptSide() *Store {
	dir := filepath.Join(s.o.Dir, "side")
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	side, err := s.moveSide(dir)
	if err != nil {
		s.o.Log.Warn("readings that an earlier version kept beside the store could not be taken over; "+
			"the next start tries again", "folder", dir, "error", err)
		return nil
	}
	return side
}

func (s *Store) moveSide(dir string) (*Store, error) {
	o := s.o
	o.Dir = dir
	side, err := open(o)
	if err == nil && !side.KnowsAll() {
		err = ErrUnreadable
	}
	if err != nil {
		side.putDown()
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	// 1. Its journal goes into its volumes. If power dies here, or anywhere
	// before the folder is gone, the next opening does the rest.
	side.beginLocked() // nobody else knows of side
	if err := side.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	volumes, err := side.shelf.list()
	if err != nil {
		return nil, err
	}
	// 2. The volumes, one by one, under the numbers they have: no two stores draw
	// the same. Each is here or there; none is lost between.
	for _, v := range volumes {
		err = errors.Join(err, s.disk.rename(v.path, filepath.Join(s.shelf.dir, filepath.Base(v.path))))
	}
	if err != nil {
		return nil, err
	}
	// 3. What is left holds no readings. If power dies in here, an empty store is
	// found beside this one, and is removed again.
	return side, os.RemoveAll(dir)
}
