package store

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
)

const (
	floorShare = 8         // min_free takes at most this part of a file system
	leastFree  = 256 << 10 // a rewrite leaves so many bytes of the file system
	commitRoom = 16 * 4096 // pages that bbolt writes beside the values of a commit
)

// isNoRoom tells errors of a card that works and has no room, or of a limit
// that leaves none, from those of a card that fails.
func isNoRoom(err error) bool { return files.TroubleOf(err) == files.Full }

// space gives the size of the file system and what of it is free, in bytes;
// known is false if it does not tell.
func (s *Store) space() (size, free int64, known bool) {
	var fs unix.Statfs_t
	if unix.Statfs(s.o.Dir, &fs) != nil || fs.Blocks == 0 {
		return 0, 0, false
	}
	return int64(fs.Blocks) * int64(fs.Bsize), int64(fs.Bavail) * int64(fs.Bsize), true
}

// floor is how many bytes of a file system of this size stay free for others:
// min_free, but of a small card only its share.
func (s *Store) floor(size int64) int64 { return min(s.o.MinFree, size/floorShare) }

// reportFloor says what was taken for min_free where it is less.
func (s *Store) reportFloor() {
	size, _, known := s.space()
	if !known {
		return
	}
	s.cardSize = size
	if took := s.floor(size); took < s.o.MinFree {
		s.o.Log.Info("min_free is more than an eighth of the file system; an eighth is left free instead",
			"folder", s.o.Dir, "min_free", inMiB(s.o.MinFree), "file_system", inMiB(size), "left_free", inMiB(took))
	}
}

func inMiB(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// volumeLimit is how many bytes of blocks a volume gets: few enough that
// deleting one of them makes room.
func (s *Store) volumeLimit() int64 {
	limit := int64(volumeBytes)
	if s.o.MaxSize > 0 {
		limit = min(limit, s.o.MaxSize/8)
	}
	if s.cardSize > 0 {
		limit = min(limit, s.cardSize/8)
	}
	return limit
}

// overBy is how many bytes are too many by max_size if need and spare more
// are taken, and by min_free if need more are; 0 or less: none.
func (s *Store) overBy(need, spare int64) (bySize, byFree int64) {
	bySize, byFree = math.MinInt64, math.MinInt64
	if s.o.MaxSize > 0 {
		bySize = s.used() + need + spare - s.o.MaxSize
	}
	if s.o.MinFree > 0 && !s.lastly {
		if size, free, known := s.space(); known {
			byFree = need + s.floor(size) - free
		}
	}
	return bySize, byFree
}

// over is how many bytes have to go so that need more can be written; 0 or
// less: none.
func (s *Store) over(need, spare int64) int64 {
	bySize, byFree := s.overBy(need, spare)
	return max(bySize, byFree)
}

// helps is how many bytes readings are to be discarded for, so that need more
// can be written; 0 or less: none. Where others fill the file system, and
// all that may go would not make min_free good, nothing goes for it.
func (s *Store) helps(need, spare int64) int64 {
	bySize, byFree := s.overBy(need, spare)
	if byFree > s.mayGo() {
		return bySize
	}
	return max(bySize, byFree)
}

// mayGo is how many bytes the volumes take that can be released.
func (s *Store) mayGo() (total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.volumes {
		if v != s.current {
			total += v.bytes
		}
	}
	return total
}

// makeRoom sees to it that a commit of need bytes exceeds no limit.
func (s *Store) makeRoom(need int64) error {
	if s.over(need, s.rewriteRoom()) <= 0 {
		return nil
	}
	if err := s.makeLess(need, s.rewriteRoom()); err != nil {
		return err
	}
	switch bySize, byFree := s.overBy(need, 0); {
	case byFree > 0:
		return fmt.Errorf("make room in %s: %s more have to be free by min_free: %w", s.o.Dir, inMiB(byFree), unix.ENOSPC)
	case bySize > 0:
		return fmt.Errorf("make room in %s: %s too many by max_size: %w", s.o.Dir, inMiB(bySize), unix.ENOSPC)
	}
	return nil
}

// needOf is how many bytes a commit of these records takes. bbolt writes the
// leaf anew to which they are added, with up to four values, and a few pages
// beside it.
func needOf(records []record) int64 {
	need, most := int64(commitRoom), int64(0)
	for i := range records {
		need += int64(len(records[i].value))
		most = max(most, int64(len(records[i].value)))
	}
	return need + 4*most
}

// makeLess discards what makes room for need more bytes, in the order in
// which it is missed least: what the cloud has for certain, the detail of the
// oldest readings, the oldest readings. What the cloud does not have goes only
// where that makes the room.
func (s *Store) makeLess(need, spare int64) error {
	if err := s.releaseSpace(s.over(need, spare), false); err != nil {
		return err
	}
	for more := true; more && s.over(need, spare) > 0; {
		var err error
		if more, err = s.lessen(s.helps(need, spare) > 0); isNoRoom(err) {
			break
		} else if err != nil {
			return err
		}
	}
	if aim := s.helps(need, spare); aim > 0 {
		return s.releaseSpace(aim, true)
	}
	return nil
}

// roomAdvice says what makes room, by the limit that is nearer.
func (s *Store) roomAdvice() string {
	bySize, byFree := s.overBy(0, 0)
	size, free, known := s.space()
	if bySize > byFree || !known {
		return "Restore the uplink, or raise max_size in [store]."
	}
	return fmt.Sprintf("Restore the uplink, or free space on the card: %s of its %s are free, and "+
		"%s are left to others (min_free in [store]).",
		inMiB(free), inMiB(size), inMiB(s.floor(size)))
}

// fits tells whether a rewrite may write so many bytes. It makes less of what
// is there, so it may use what min_free leaves to others until it is done.
func (s *Store) fits(need int64) bool {
	if s.o.MaxSize > 0 && s.used()+need > s.o.MaxSize {
		return false
	}
	_, free, known := s.space()
	return !known || need+leastFree <= free
}

// volumeMay tells whether a volume is to be tried: not soon after there was
// no room for one.
func (s *Store) volumeMay() bool { return time.Since(s.start) >= s.volumeAt }

// volumeRefused notes that there is no room for volumes. The journal, which is
// there already, goes on alone; what it holds and the cloud has for certain
// makes way.
func (s *Store) volumeRefused(err error) {
	s.noRoomWait = min(max(2*s.noRoomWait, firstRetryWait), maxRetryWait)
	s.mu.Lock()
	s.volumeAt = time.Since(s.start) + s.noRoomWait
	s.mu.Unlock()
	s.forgetJournal()
	s.mu.Lock()
	free := s.journal.room()
	s.mu.Unlock()
	s.o.Conditions.Raise(ConditionRoom, s.o.Dir, health.Error, fmt.Sprintf(
		"There is no room for more volumes of readings in %s (%v). Readings go into the journal alone, %d of whose %d pages are "+
			"free; when none is, into memory. Free space on the card, or lower min_free in [store].",
		s.o.Dir, err, free, journalSlots-markSlots))
}

// volumeHadRoom notes that there was room for a volume.
func (s *Store) volumeHadRoom() {
	if s.noRoomWait == 0 {
		return
	}
	s.noRoomWait, s.volumeAt = 0, 0
	s.o.Conditions.Clear(ConditionRoom, s.o.Dir, "There is room for volumes of readings again.")
}

// stateRefused tells that there is no room for what changed in state.db. The
// readings go on without; it is tried again with the next flush.
func (s *Store) stateRefused(err error) {
	s.o.Conditions.Raise(ConditionRoom, s.state.path, health.Warning, fmt.Sprintf(
		"There is no room for changes in %s (%v). Readings are kept all the same; "+
			"what the cloud acknowledged, and events, are kept in memory alone. Free space on the card.", s.state.path, err))
	s.stateFull = true
}

// stateHadRoom notes that state.db was written.
func (s *Store) stateHadRoom() {
	if s.stateFull {
		s.stateFull = false
		s.o.Conditions.Clear(ConditionRoom, s.state.path, "What the cloud acknowledged, and events, are kept on the card again.")
	}
}

// forgetJournal lets go the oldest pieces of a journal that fills up, as far
// as the cloud has them for certain. That is saved before their slots are used
// again: if power dies before, they are only held once more.
func (s *Store) forgetJournal() {
	s.mu.Lock()
	kept := 0
	upto := map[*epoch]uint64{}
	for kept < len(s.journal.pieces) && len(s.journal.pieces) > journalSlots/2 {
		p := s.journal.pieces[kept]
		e := s.epochs[p.Epoch]
		if e == nil || p.Last() > e.confirmed || p == s.journal.open {
			break
		}
		upto[e] = p.Last()
		e.Forgotten = max(e.Forgotten, p.Last())
		kept++
	}
	s.mu.Unlock()
	if kept == 0 || s.saveState() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for e, last := range upto {
		s.journal.drop(e.ordinal, last)
	}
}
