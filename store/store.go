package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/store/block"
)

// A Store keeps the readings of one gateway. Its methods may be called from
// any goroutine; Run, once, by whoever owns it, before Close.
type Store struct {
	o            Options
	lock         *os.File  // nil: not taken, the card let nobody
	outer        *os.File  // the lock of the store that this one stands beside; nil: none
	firstOrdinal uint64    // ordinals and numbers of volumes begin behind it
	start        time.Time // times within the process are durations since then
	disk         disk
	shelf        shelf
	wake         chan struct{} // wakes Run: something is due, or due earlier

	writeMu      sync.Mutex // held while the card is written; taken before mu
	state        state
	journal      journal
	recovered    bool     // the journal holds what an earlier opening left
	ending       *epoch   // split off, its last readings not yet in a volume; changed under mu too
	stateLost    bool     // there were readings, and no state.db that could be read
	stateOld     bool     // state.db is an older copy
	unclean      bool     // the last opening ended in a power cut or crash
	damaged      []broken // found at the opening
	nextVolume   uint64
	retry        time.Duration // wait after a failed write; 0: the last one went well
	noRoomWait   time.Duration // until a volume is tried again; 0: there was room for the last one
	stateFull    bool          // there was no room for the last change of state.db
	lastly       bool          // the store closes: min_free and the last slot of the journal are for that
	cardSize     int64         // bytes of the file system; 0: not known
	savedAt      time.Duration // when state.db was last written
	besideEvents []*heldEvent  // of the store in side/, to be given names of this opening
	doomed       []*volume     // discarded; to be deleted once that is saved; changed under mu too
	rewriting    *rewrite      // under way; nil: none

	encMu   sync.Mutex // may be held when mu is taken, never the other way round
	enc     *block.Encoder
	dec     *block.Decoder
	scratch []gateway.Reading

	mu       sync.Mutex
	facts    facts
	order    []*epoch // by ordinal; the growing one last
	epochs   map[gateway.EpochID]*epoch
	counting map[*gateway.Channel]bool        // whether it is one of Options.Totals
	lane     lane                             // the events
	commands map[string]gateway.CommandRecord // by id
	growing  *epoch                           // its head is never nil
	volumes  []*volume                        // by number
	current  *volume                          // being written; nil before the first commit and after an error
	arrival  chan struct{}                    // closed at the next Append; nil if nobody waits
	flushed  chan struct{}                    // closed when something got onto the card, or cannot; nil if nobody waits
	closed   chan struct{}
	ended    bool
	session  uint64        // counts sessions of this opening
	fsynced  bool          // the cloud's level, in this session
	retain   time.Duration // what welcome asked for
	retryAt  time.Duration // no write before this
	absent   error         // why the store could not be opened yet: all is in RAM; nil: it is open. Changed under writeMu too
	keeping  files.Keeping // what a power cut leaves of the store
	unread   unread        // files that cannot be read now
	volumeAt time.Duration // no volume before this; changed under writeMu too
	settling bool          // a stop is near: what is in RAM alone is due at once
	sweep    bool          // something may be forgotten
	sweptAt  time.Duration // when it was looked last
	beside   int64         // bytes of what is not a volume
	oldest   oldestReading
	unsaved  bool   // the growing epoch has readings in a volume that its entry does not name
	atRisk   uint64 // the most unacknowledged readings that ever waited for one commit
	metrics  metrics
}

// metrics are counted for Stats.
type metrics struct {
	commits    uint64
	written    uint64
	lastCommit time.Duration
	longest    time.Duration // of the commits
	dropped    uint64        // before the cloud had them, …
	cardFailed uint64        // … of these out of a full head

	appended uint64
	failing  bool
}

// Append numbers the readings and puts them into the head. It gives the name
// of the last one and does not wait for the card, unless flush_interval is 0:
// then they are on the card when it returns, or the card is failing. If the
// card has taken no writes for so long that the head is full, the oldest are
// dropped and leave a gap. The slice is not kept.
func (s *Store) Append(rs []gateway.Reading) (last gateway.Name, err error) {
	e, seq, err := s.push(rs)
	if err != nil {
		return gateway.Name{}, fmt.Errorf("append: %w", err)
	}
	if s.o.FlushInterval == 0 {
		s.awaitFlush(e, seq)
	}
	return gateway.Name{Epoch: e.ID, Seq: seq}, nil
}

func (s *Store) push(rs []gateway.Reading) (*epoch, uint64, error) {
	came := time.Since(s.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, 0, ErrClosed
	}
	e, idle := s.growing, s.nothingDueLocked()
	dropped := uint64(0)
	for i := range rs {
		if e.head.push(rs[i], came) {
			dropped++
		}
	}
	s.metrics.dropped += dropped
	s.metrics.cardFailed += dropped
	s.metrics.appended += uint64(len(rs))
	s.noteTotalsLocked(rs, e.head.last)
	if idle || e.head.len() >= blockReadings {
		s.wakeRun()
	}
	s.arrivedLocked()
	return e, e.head.last, nil
}

// nothingDueLocked tells whether the head holds no reading that waits for
// flush_interval, so that Run may be asleep for long.
func (s *Store) nothingDueLocked() bool {
	return s.growing.head.last <= s.safeLocked()
}

func (s *Store) wakeRun() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// arrivalLocked gives what is closed when the next readings come.
func (s *Store) arrivalLocked() chan struct{} {
	if s.arrival == nil {
		s.arrival = make(chan struct{})
	}
	return s.arrival
}

// arrivedLocked wakes those in Next who found nothing.
func (s *Store) arrivedLocked() {
	if s.arrival != nil {
		close(s.arrival)
		s.arrival = nil
	}
}

// InstallID names this installation: 16 random bytes made with state.db.
func (s *Store) InstallID() [16]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id [16]byte
	_, _ = hex.Decode(id[:], []byte(s.facts.Install))
	return id
}

// CloudTime is the latest time that the cloud ever told, as far as it was
// saved; the zero time if it never did. A clock that shows less is wrong.
func (s *Store) CloudTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts.CloudTime
}

// SetCloudTime notes the cloud's time. It is saved with the next write of
// state.db that happens anyway.
func (s *Store) SetCloudTime(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.After(s.facts.CloudTime) {
		s.facts.CloudTime = t.UTC().Truncate(time.Millisecond)
	}
}

// maxKept is what Keep takes, in bytes.
const maxKept = 4096

// Keep notes a few bytes of the uplink's for a later run. They are saved with
// the next write of state.db that happens anyway, so a power cut can cost the
// latest. More than 4 KiB are not kept.
func (s *Store) Keep(note []byte) {
	if len(note) > maxKept {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.Uplink = bytes.Clone(note)
}

// Kept gives what Keep was last given, as far as it was saved.
func (s *Store) Kept() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.facts.Uplink)
}

// Epochs lists the epochs as hello does: those that the cloud does not have
// to their end, oldest first; then those that it has but whose readings are
// still held; the growing one last.
func (s *Store) Epochs() []gateway.EpochState {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]gateway.EpochState, 0, len(s.order))
	for _, finished := range []bool{false, true} {
		for _, e := range s.order[:len(s.order)-1] {
			if e.Done == finished {
				list = append(list, s.stateOfLocked(e))
			}
		}
	}
	return append(list, s.stateOfLocked(s.growing))
}

// Run commits readings when they are due, until ctx is done.
func (s *Store) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		s.work()
		timer.Reset(min(s.untilDue(), s.untilReread(), sweepEvery))
	}
}
