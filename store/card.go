package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// A Point names a kind of durable step.
type Point string

// The kinds of steps. Each is durable, syncs included, when it has been done
// without error.
const (
	PointSlot   Point = "slot"   // slots of the journal written in place
	PointFile   Point = "file"   // a new file written under its temporary name
	PointRename Point = "rename" // a file given another name, in place of what had it; To is the name
	PointLink   Point = "link"   // a damaged file given a second name in quarantine; To is the name
	PointCommit Point = "commit" // a transaction in a volume
	PointState  Point = "state"  // a transaction in state.db
	PointCut    Point = "cut"    // a volume cut to the length of what is in it
	PointUnlink Point = "unlink" // a file deleted
)

// A Step is one durable step on the card.
type Step struct {
	Point  Point
	Path   string  // the file that it changes
	To     string  // its new name
	Writes []Write // of slots: what is written, in this order, before one fdatasync
}

// A Write is bytes that go to a place of a file.
type Write struct {
	Offset int64
	Data   []byte
}

// A Card takes the durable steps of a store, one at a time. Do runs act, which
// takes the step, and gives its error. A test's Card may take a copy of the
// files before and after, leave act out, or fail although it ran.
type Card interface {
	Do(s Step, act func() error) error
}

// soundCard is the card as it is.
type soundCard struct{}

func (soundCard) Do(_ Step, act func() error) error { return act() }

// hangs is how long a step may take before the card counts as failing.
const hangs = 10 * time.Second

// A disk is the card and what is told when a step hangs.
type disk struct {
	card Card
	hung func(Step) // called, from a goroutine of its own, when a step has been outstanding for long
}

// do takes one step.
func (d *disk) do(s Step, act func() error) error {
	var told sync.WaitGroup
	told.Add(1)
	watch := time.AfterFunc(hangs, func() { defer told.Done(); d.hung(s) })
	err := d.card.Do(s, act)
	if !watch.Stop() {
		told.Wait() // so that the end of the step is told after it hung
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", s.Point, s.Path, err)
	}
	return nil
}

// rename gives a synced file its name, in place of what had it.
func (d *disk) rename(from, to string) error {
	return d.do(Step{Point: PointRename, Path: from, To: to}, func() error { return durable.Rename(from, to) })
}

// unlink deletes a file.
func (d *disk) unlink(path string) error {
	return d.do(Step{Point: PointUnlink, Path: path}, func() error { return durable.Remove(path) })
}

// link gives a damaged file a second name, by which it is kept when its own
// name goes to what replaces it. Where the file system has no links it is
// copied.
func (d *disk) link(path, to string) error {
	return d.do(Step{Point: PointLink, Path: path, To: to}, func() error {
		if os.Link(path, to) != nil {
			if err := copyFile(path, to); err != nil {
				return err
			}
		}
		return durable.SyncDir(filepath.Dir(to))
	})
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return durable.SyncFile(to)
}

// cardFailed tells that a write failed and puts the next one off.
func (s *Store) cardFailed(err error) {
	s.retry = min(max(2*s.retry, firstRetryWait), maxRetryWait)
	s.mu.Lock()
	s.retryAt = time.Since(s.start) + s.retry
	s.failingLocked()
	s.mu.Unlock()
	s.wakeRun() // who failed need not be Run
	if s.absent != nil {
		return // that is told already
	}
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"Readings cannot be written to %s (%v). Sampling and sending go on from memory, the newest %d readings are kept; "+
			"check the card and its free space.",
		s.o.Dir, err, headMax))
}

// cardHangs tells that a step takes long. Whoever takes it still waits; the
// head goes on in RAM.
func (s *Store) cardHangs(step Step) {
	s.mu.Lock()
	s.failingLocked()
	s.mu.Unlock()
	s.o.Conditions.Raise(ConditionCard, s.o.Dir, health.Error, fmt.Sprintf(
		"A write to %s has not come back for %v. Sampling and sending go on from memory, the newest %d readings are kept; "+
			"the card may be worn out, replace it if this comes back.",
		step.Path, hangs, headMax))
}

// cardWorks tells that writing goes well again.
func (s *Store) cardWorks() {
	s.mu.Lock()
	failed := s.metrics.failing
	s.retryAt, s.metrics.failing = 0, false
	s.mu.Unlock()
	s.retry = 0
	if failed {
		s.o.Conditions.Clear(ConditionCard, s.o.Dir, "Readings are written to the card again.")
	}
}

// failingLocked lets nobody wait for the card any more.
func (s *Store) failingLocked() {
	s.metrics.failing = true
	s.flushedLocked()
}
