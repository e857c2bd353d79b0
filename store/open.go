package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/store/block"
)

// Open opens the store in o.Dir, making it if it is not there, and begins a
// new epoch. Damaged files are no error: they go to quarantine. Nor is a card
// that takes no writes: the head keeps what comes, and writing is tried again.
// Nor are files that cannot be read, or a folder that cannot be used: what they
// hold is kept, and they are tried again (Absent, ErrUnreadable). Nor is a
// store that a later version of fieldgate wrote: it is left alone, and this
// opening writes another one beside it, in side/. The error is ErrLocked,
// ErrVersion, or that of the options.
func Open(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if o.Card == nil {
		o.Card = soundCard{}
	}
	s, err := openOnCard(o)
	if errors.Is(err, ErrLocked) || errors.Is(err, ErrVersion) {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err != nil {
		s = newStore(o)
		s.facts = facts{Version: stateVersion, Install: gateway.NewEpochID().String()}
		s.beginLocked() // nobody else knows of s yet
		s.setAbsent(err)
		s.cardFailed(err)
		return s, nil
	}
	s.tellWhere()
	s.begin()
	return s, nil
}

// openOnCard opens the store, or the one beside it, but begins no epoch.
func openOnCard(o Options) (*Store, error) {
	s, err := open(o)
	if errors.Is(err, ErrVersion) {
		s, err = openSide(s, err)
	} else if err == nil {
		s, err = s.withSide()
	}
	if err != nil {
		s.putDown()
		return nil, err
	}
	return s, nil
}

// putDown leaves a store that could not be opened: what it has open would keep
// the next try out.
func (s *Store) putDown() {
	s.shelf.closeAll()
	_ = s.state.close() // it was only read
	s.release()
}

// open takes the lock and reads what is there.
func open(o Options) (*Store, error) {
	s := newStore(o)
	if err := s.prepare(); err != nil {
		return s, err
	}
	s.tellFloor()
	return s, s.recover()
}

// prepare makes the folder, if it is missing, and locks it.
func (s *Store) prepare() error {
	if s.o.readOnly {
		return s.prepareToLook()
	}
	if err := os.MkdirAll(s.shelf.dir, 0o700); err != nil {
		return err
	}
	lock, err := takeLock(s.o.Dir)
	s.lock = lock
	return err
}

// prepareToLook shares the lock with others who look, if it is there at all.
func (s *Store) prepareToLook() error {
	if _, err := os.Stat(s.shelf.dir); err != nil {
		return fmt.Errorf("there is no store in %s: %w", s.o.Dir, err)
	}
	lock, err := os.Open(filepath.Join(s.o.Dir, "lock"))
	if err != nil {
		return nil // a copy may have none
	}
	s.lock = lock
	return flock(lock, unix.LOCK_SH)
}

// recover reads what earlier openings left. The error is ErrVersion, or that of
// a list of volumes or a state.db that cannot be read now.
func (s *Store) recover() error {
	if err := s.removeTemporary(); err != nil {
		s.o.Log.Warn("Half-made files of the last run could not be deleted.", "error", err)
	}
	if err := s.loadState(); err != nil {
		return err
	}
	volumes, err := s.shelf.list()
	if err != nil {
		return err
	}
	journal, err := readJournal(s.journal.path)
	if err != nil {
		s.holdJournal(err)
	}
	s.stateLost = len(s.order) == 0 && len(volumes)+len(journal.marks)+len(journal.pieces) > 0
	for _, v := range volumes {
		s.nextVolume = max(s.nextVolume, v.number+1)
		if v.number < s.facts.Oldest {
			_ = s.shelf.remove(v) // given up by the last run; if it stays, so it does at the next start
			continue
		}
		if err := s.takeIn(v); err != nil {
			return err
		}
	}
	for _, d := range s.damaged {
		s.salvage(d.volume, d.cause) // last, when all that is sound is known
	}
	if s.stateLost {
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			"The store's list of epochs was lost and has been rebuilt from the readings; what the cloud has is learned again from it.")
	}
	if s.unread.journal == nil {
		s.takeJournal(journal)
	}
	now, opened := s.o.Clock.Anchor(), s.o.Clock.Stamp()
	for _, e := range s.order {
		if e.Growth == gateway.Growing {
			e.interrupt(now, opened)
			s.unclean = true
		}
		e.locate(now)
		s.judge(e)
	}
	s.audit()
	s.forgetUnheard()
	return nil
}

// forgetUnheard removes the epochs that never were of any use. Their ordinals
// are not used again.
func (s *Store) forgetUnheard() {
	if n := len(s.order); n > 0 {
		s.firstOrdinal = s.order[n-1].ordinal
	}
	s.order = slices.DeleteFunc(s.order, func(e *epoch) bool {
		if e.Unheard {
			delete(s.epochs, e.ID)
		}
		return e.Unheard
	})
}

// removeTemporary deletes what an earlier process did not finish making.
func (s *Store) removeTemporary() error {
	if s.o.readOnly {
		return nil
	}
	return errors.Join(removeTemporary(s.o.Dir), removeTemporary(s.shelf.dir))
}

// loadState reads state.db, if there is one that can be read.
func (s *Store) loadState() error {
	f, entries, err := s.state.load()
	switch {
	case errors.Is(err, ErrVersion):
		s.facts.Install = f.Install
		return err
	case errors.Is(err, fs.ErrNotExist):
	case err != nil && !isDamage(err):
		return err
	case err != nil:
		s.quarantine(s.state.path, err)
	}
	if f.Install == "" {
		f = facts{Version: stateVersion, Install: gateway.NewEpochID().String()}
	}
	s.facts, s.nextVolume = f, max(f.Oldest, f.Highest+1)
	for ordinal, en := range entries {
		e := &epoch{entry: en, ordinal: ordinal}
		s.nextVolume = max(s.nextVolume, e.Filled+1)
		s.order = append(s.order, e)
		s.epochs[e.ID] = e
	}
	slices.SortFunc(s.order, func(a, b *epoch) int { return compareOrdinal(a, b.ordinal) })
	if s.state.db != nil {
		s.loadSmall()
	}
	return nil
}

// loadSmall reads events and commands.
func (s *Store) loadSmall() {
	held, lostEvents, err1 := s.state.loadEvents()
	commands, lostCommands, err2 := s.state.loadCommands()
	if err1 == nil {
		s.lane.held = held
		for _, h := range held {
			s.lane.bytes += h.size()
		}
		s.lane.acked = s.lane.find(s.facts.EventsAcked) + 1
	}
	if err2 == nil {
		s.commands = commands
	}
	if n := lostEvents + lostCommands; n > 0 || err1 != nil || err2 != nil {
		s.stateOld = s.stateOld || lostCommands > 0 || err2 != nil
		s.o.Conditions.Raise(ConditionDamage, "state.db", health.Error,
			fmt.Sprintf("%d events and %d records of commands in %s are damaged and are lost.", lostEvents, lostCommands, s.state.path))
	}
}

// takeIn learns what a volume holds; one that cannot be read now is held. The
// error is ErrVersion.
func (s *Store) takeIn(v *volume) error {
	var runs []held
	err := s.shelf.read(v, func(b *bbolt.Bucket) (err error) {
		runs, err = contents(b)
		return err
	})
	if errors.Is(err, block.ErrVersion) {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	if err != nil && !isDamage(err) {
		s.hold(v, err)
		return nil
	}
	if err != nil {
		s.damaged = append(s.damaged, broken{v, err})
		return nil
	}
	s.shelf.retire(v)
	if len(runs) == 0 {
		_ = s.shelf.remove(v) // made, but nothing was ever put in
		return nil
	}
	if i := slices.IndexFunc(runs, func(r held) bool { return r.damaged || s.misplaced(r) }); i >= 0 {
		s.damaged = append(s.damaged, broken{v, errBlock})
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeInLocked(v, runs)
	return nil
}

// takeInLocked takes a volume into the index.
func (s *Store) takeInLocked(v *volume, runs []held) {
	for _, r := range runs {
		s.takeInRun(v, r)
	}
	i, _ := slices.BinarySearchFunc(s.volumes, v, func(a, b *volume) int { return cmp.Compare(a.number, b.number) })
	s.volumes = slices.Insert(s.volumes, i, v)
}

// broken is a volume that was found damaged, and how.
type broken struct {
	volume *volume
	cause  error
}

var errBlock = fmt.Errorf("%w: a block does not make sense", errDamaged)

// misplaced tells of a run that stands under the ordinal of another epoch.
func (s *Store) misplaced(r held) bool {
	if r.id == (gateway.EpochID{}) {
		return false // gaps alone, which do not name it
	}
	if i, known := slices.BinarySearchFunc(s.order, r.ordinal, compareOrdinal); known {
		return s.order[i].ID != r.id
	}
	return s.epochs[r.id] != nil
}

func (s *Store) takeInRun(v *volume, r held) {
	i, known := slices.BinarySearchFunc(s.order, r.ordinal, compareOrdinal)
	if !known {
		// an epoch that state.db does not know: an older copy, or a new file
		e := &epoch{ordinal: r.ordinal, entry: entry{ID: r.id, Volume: v.number, AtMost: gateway.AtMostUnknown}}
		s.order = slices.Insert(s.order, i, e)
		s.epochs[e.ID] = e
	}
	e := s.order[i]
	if r.last < r.first {
		return
	}
	if !known {
		e.Opened = r.newest.T0
	}
	e.Anchor = r.newest.Anchor
	e.insert(span{r.first, r.last, v})
	if r.last >= e.Last {
		e.Last, e.LastAt = r.last, r.newest.T1
	}
	v.newest = r.newest
	if v.oldest.N == 0 {
		v.oldest = r.oldest
	}
	v.thinned = v.oldest.Thinned || v.newest.Thinned
}

func compareOrdinal(e *epoch, ordinal uint64) int {
	switch {
	case e.ordinal < ordinal:
		return -1
	case e.ordinal > ordinal:
		return 1
	}
	return 0
}

// lose notes that readings behind the last known were in a file that is lost,
// if the epoch's end is not known.
func (e *epoch) lose() {
	if e.Growth == gateway.Closed {
		return
	}
	e.Lost = max(e.Lost, 1)
	if !e.rated() {
		e.AtMost = gateway.AtMostUnknown
	}
}

// begin starts this opening's epoch. Its entry is committed before its first
// reading is stored; if the card takes no writes now, the first flush tries
// again.
func (s *Store) begin() {
	s.mu.Lock()
	s.noteOpening()
	s.beginLocked()
	s.mu.Unlock()
	s.tellOpening()
	if err := s.saveNewEpoch(); err != nil {
		s.cardFailed(err)
	}
}

// tellOpening adds the events of an opening. They are written with the entry
// of its epoch.
func (s *Store) tellOpening() {
	s.takeBesideEvents()
	s.tellLastRun()
	body, err := json.Marshal(map[string]any{"unclean": s.unclean})
	if err == nil {
		s.placeEvent(gateway.Event{Kind: gateway.EventBoot, Body: body})
	}
	if s.StateLost() {
		s.placeEvent(gateway.Event{Kind: gateway.EventStateLost})
	}
}

// nextOrdinal is the ordinal of the next epoch.
func (s *Store) nextOrdinal() uint64 {
	ordinal := s.firstOrdinal + 1
	if n := len(s.order); n > 0 {
		ordinal = max(ordinal, s.order[n-1].ordinal+1)
	}
	return ordinal
}

// beginLocked makes the next epoch the growing one.
func (s *Store) beginLocked() {
	volume := s.nextVolume
	if s.current != nil {
		volume = s.current.number // a split: it goes on
	}
	e := &epoch{ordinal: s.nextOrdinal(), head: &head{first: 1}, entry: entry{
		ID: gateway.NewEpochID(), Opened: s.o.Clock.Stamp(), Anchor: s.o.Clock.Anchor(),
		Volume: volume, Rate: s.o.Rate, Burst: s.o.Burst,
	}}
	e.LastAt = e.Opened
	if s.growing == nil {
		s.lane.id, s.lane.ordinal = e.ID, e.ordinal
	}
	s.growing = e
	s.order = append(s.order, e)
	s.epochs[e.ID] = e
}
