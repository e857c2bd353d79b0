package store

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// What the kernel does not give now is not damaged. A volume, or the journal,
// that cannot be read is kept as it is: nothing is reported as a gap that may
// stand in it, and reading it is tried again until it goes well. Where the
// folder, the lock, log/ or state.db cannot be used the whole store is absent
// (absent.go).

// ErrUnreadable is readings that are on the card, as far as is known, in a file
// that cannot be read now.
var ErrUnreadable = errors.New("on the card, in a file that cannot be read now")

// An unreadError says which readings those are; N is 0 for an epoch's end,
// which may lie farther than is known.
type unreadError struct {
	gateway.Range
	cause error
}

func (e *unreadError) Error() string   { return fmt.Sprintf("%v: %v", ErrUnreadable, e.cause) }
func (e *unreadError) Unwrap() []error { return []error{ErrUnreadable, e.cause} }

const (
	firstRereadWait  = time.Second // after a file could not be read; doubled up to
	maxRereadWait    = 30 * time.Second
	deviceRereadWait = 5 * time.Minute // or this, where each try may cost the card's last strength
)

// A unreadVolume is a volume that cannot be read now.
type unreadVolume struct {
	*volume
	cause error
}

// unread is what cannot be read now. It is changed under writeMu and mu.
type unread struct {
	volumes []unreadVolume
	journal error // nil: it was read
	wait    time.Duration
	at      time.Duration // when it is tried again, since the store's start
}

func (u *unread) none() bool { return len(u.volumes) == 0 && u.journal == nil }

// oldest is the lowest number of a volume that cannot be read, if that is
// lower than the one given: no number above it counts as deleted on purpose.
func (u *unread) oldest(number uint64) uint64 {
	for _, v := range u.volumes {
		number = min(number, v.number)
	}
	return number
}

// keepUnread keeps a volume that cannot be read now, and says so.
func (s *Store) keepUnread(v *volume, cause error) {
	s.mu.Lock()
	s.unread.volumes = append(s.unread.volumes, unreadVolume{v, cause})
	s.mu.Unlock()
	s.reportHeld(v.path, cause)
	s.wakeRun()
}

func (s *Store) reportHeld(path string, cause error) {
	s.o.Conditions.Raise(ConditionUnreadable, filepath.Base(path), health.Error, fmt.Sprintf(
		"%s cannot be read now: %s. Its readings are kept and are sent as soon as it can be read; "+
			"reading it is tried again, without a restart.",
		path, files.Explain(path, cause)))
}

func (s *Store) reportReadAgain(path string) {
	s.o.Conditions.Clear(ConditionUnreadable, filepath.Base(path), path+" can be read again; its readings are sent.")
}

// maybeUnreadLocked tells whether readings of an epoch that are in no file which
// could be read may be in one that cannot be read now.
func (s *Store) maybeUnreadLocked(e *epoch) bool {
	if e.head != nil {
		return false
	}
	if s.unread.journal != nil {
		return true
	}
	// volumes get higher numbers with time: the next epoch began with its own
	behind := ^uint64(0)
	if i, _ := slices.BinarySearchFunc(s.order, e.ordinal+1, compareOrdinal); i < len(s.order) && s.order[i].Volume > 0 {
		behind = s.order[i].Volume
	}
	return slices.ContainsFunc(s.unread.volumes, func(v unreadVolume) bool {
		return v.number == e.Filled || v.number >= e.Volume && v.number <= behind
	})
}

func (s *Store) maybeUnread(e *epoch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maybeUnreadLocked(e)
}

// unreadLocked is the error for what may stand in a file that cannot be read.
func (s *Store) unreadLocked(r gateway.Range) error {
	cause := s.unread.journal
	for _, v := range s.unread.volumes {
		cause = cmp.Or(cause, v.cause)
	}
	return &unreadError{r, cause}
}

// KnowsAll tells whether Epochs lists every epoch of which something is held:
// not while a file that may hold others cannot be read.
func (s *Store) KnowsAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent == nil && s.unread.none()
}

// untilReread is how long until what could not be read is tried again.
func (s *Store) untilReread() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread.none() {
		return idle
	}
	return max(0, s.unread.at-time.Since(s.start))
}

// reread tries what could not be read. The caller holds writeMu.
func (s *Store) reread() {
	if s.untilReread() > 0 {
		return
	}
	s.mu.Lock()
	all, journal := s.unread.volumes, s.unread.journal
	s.unread.volumes = nil
	s.mu.Unlock()
	for _, v := range all {
		s.rereadVolume(v)
	}
	if journal != nil {
		s.rereadJournal()
	}
	for _, e := range s.unfinished() {
		s.judge(e)
	}
	s.audit()
	s.mu.Lock()
	defer s.mu.Unlock()
	most := maxRereadWait
	worn := func(v unreadVolume) bool { return files.TroubleOf(v.cause) == files.Device }
	if files.TroubleOf(s.unread.journal) == files.Device || slices.ContainsFunc(s.unread.volumes, worn) {
		most = deviceRereadWait
	}
	s.unread.wait = min(max(2*s.unread.wait, firstRereadWait), most)
	s.unread.at = time.Since(s.start) + s.unread.wait
	if len(s.unread.volumes) < len(all) || journal != nil && s.unread.journal == nil {
		s.recovered = len(s.journal.pieces) > 0
		s.sweep = true
	}
}

// rereadVolume takes a volume in, if it can be read now; what is damaged in it
// is found only now.
func (s *Store) rereadVolume(v unreadVolume) {
	if size, err := sizeOnCard(v.path); err == nil {
		v.bytes = size
	}
	err := s.readIn(v.volume)
	if err != nil {
		s.keepUnread(v.volume, err) // of a later version: the next start knows what to do
		return
	}
	for _, d := range s.damaged {
		s.salvage(d.volume, d.cause)
	}
	s.damaged = nil
	s.mu.Lock()
	held := slices.ContainsFunc(s.unread.volumes, func(u unreadVolume) bool { return u.volume == v.volume })
	for _, e := range s.order {
		if e.head == nil {
			s.journal.drop(e.ordinal, e.inVolumes())
		}
	}
	s.mu.Unlock()
	if !held {
		s.reportReadAgain(v.path)
	}
}

// keepJournalUnread keeps a journal that cannot be read: nothing is written to it,
// what comes goes into volumes alone.
func (s *Store) keepJournalUnread(cause error) {
	s.mu.Lock()
	s.unread.journal = cause
	s.mu.Unlock()
	s.journal.bad = maxBadSlots
	s.reportHeld(s.journal.path, cause)
}

func (s *Store) rereadJournal() {
	in, err := readJournal(s.journal.path)
	if err != nil {
		s.keepJournalUnread(err)
		return
	}
	s.mu.Lock()
	s.unread.journal = nil
	s.recoverJournal(in)
	s.mu.Unlock()
	s.journal.bad = 0
	s.reportReadAgain(s.journal.path)
	if err := s.markEpoch(); err != nil {
		s.cardFailed(err)
	}
}

// judge says once, for an epoch that an earlier opening made, what is missing
// of it: when everything that may hold it was read.
func (s *Store) judge(e *epoch) {
	if e.head != nil || e.judged || s.maybeUnread(e) {
		return
	}
	e.judged = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missVolume(e)
}
