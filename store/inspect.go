package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noWrites is a card that takes nothing.
type noWrites struct{}

func (noWrites) Do(Step, func() error) error { return unix.EROFS }

// Inspect opens the store in o.Dir to look at it: nothing is written, nothing
// is deleted, and the folder may be a copy on a card that is read-only. The
// growing epoch that it shows is its own and holds nothing. The error is
// ErrLocked while a gateway runs on the folder, or ErrVersion. Close it with
// Leave.
func Inspect(o Options) (*Store, error) {
	o.Card = noWrites{}
	o.readOnly = true
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("inspect store: %w", err)
	}
	s, err := open(o)
	if err != nil {
		s.unlock()
		return nil, fmt.Errorf("inspect store: %w", err)
	}
	s.beginLocked() // nobody else knows of s yet
	return s, nil
}

// Leave ends an inspection.
func (s *Store) Leave() {
	s.mu.Lock()
	s.ended = true
	close(s.closed)
	s.mu.Unlock()
	s.shelf.closeAll()
	_ = s.state.close() // it was only read
	s.unlock()
}
