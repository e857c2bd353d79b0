package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
)

const stateVersion = 1

// State.db takes so many bytes of the card from the beginning, so that what it
// is to hold has room when others have filled the card; of a small store no
// more than this part of max_size, because that room is the readings'.
const (
	stateRoom  = 256 << 10
	stateShare = 64
)

var (
	bucketMeta   = []byte("meta")
	bucketEpochs = []byte("epochs") // ordinal (8 bytes) -> entry, sealed
	keyFacts     = []byte("facts")
)

// facts are what state.db holds beside the epochs.
type facts struct {
	Version     int          `json:"version"`
	Install     string       `json:"install_id"`         // 32 hex digits
	CloudTime   time.Time    `json:"cloud_time"`         // the cloud's clock, when last heard
	Uplink      []byte       `json:"uplink,omitempty"`   // what the uplink wants to find again: see Keep
	Floor       uint64       `json:"journal_floor"`      // flushes of the journal below this number hold nothing any more
	EventsAcked gateway.Name `json:"events_acked"`       // the last event that the cloud has
	Totals      *totals      `json:"totals,omitempty"`   // of channels that count
	Openings    []opening    `json:"openings,omitempty"` // the latest
	Oldest      uint64       `json:"oldest_volume"`      // volumes below this number were deleted on purpose
	Highest     uint64       `json:"highest_volume"`     // numbers of volumes go on behind this
}

// entry is what state.db holds of one epoch.
type entry struct {
	ID        gateway.EpochID     `json:"id"`
	Opened    gateway.Stamp       `json:"opened"`
	Anchor    gateway.Anchor      `json:"anchor"`            // boot id, and the anchor that held at the last save
	Earlier   gateway.Timeline    `json:"earlier,omitempty"` // those that it replaced while the epoch grew
	Volume    uint64              `json:"volume"`            // the lowest number that a volume of this epoch can have
	Filled    uint64              `json:"filled"`            // the highest number of a volume that got readings of it; 0 if none did
	Growth    gateway.EpochGrowth `json:"growth"`
	Last      uint64              `json:"last"`              // last seq on the card, at the last save
	LastAt    gateway.Stamp       `json:"last_at"`           // its stamp
	Acked     uint64              `json:"acked"`             // as the cloud said last
	Known     uint64              `json:"known"`             // the highest seq that the cloud ever had of an open-ended epoch
	Unheard   bool                `json:"unheard,omitempty"` // empty, and nobody was ever told of it
	Done      bool                `json:"done"`              // the cloud has the end too
	Forgotten uint64              `json:"forgotten"`         // discarded after ack, up to here
	Dropped   uint64              `json:"dropped"`           // discarded before the cloud had them, up to here (from Forgotten on)
	// readings that waited for one commit at most, where that was more than Rate allows;
	// AtMostUnknown: nothing bounds what is missing
	AtMost  uint64        `json:"at_most"`
	Lost    uint64        `json:"lost"`              // not 0: some were in a damaged file, behind Last
	Holes   uint64        `json:"holes"`             // readings up to Last that are missing, as people were told
	EndAt   gateway.Stamp `json:"end_at"`            // an open-ended epoch's readings are older; 0: not known
	Sure    bool          `json:"sure,omitempty"`    // EndAt is by clocks that were synchronised
	Rate    float64       `json:"rate,omitempty"`    // readings/s that came at most over a long time, …
	Burst   int           `json:"burst,omitempty"`   // … and at one instant beyond that; 0: written by an earlier version
	Counted uint64        `json:"counted,omitempty"` // readings in all, if a stop in order could not write the last of them
}

// state is state.db. It is owned by whoever holds Store.writeMu.
type state struct {
	path     string
	disk     *disk
	room     int64 // what it takes from the beginning, in bytes
	readOnly bool
	verify   func(path string) error // looks at the file where a fault kills nobody; nil: nobody looks
	db       *bbolt.DB               // nil: not there, or not to be written any more
	saved    map[uint64]string
	facts    string
	known    bool // saved and facts are what the file holds
}

// load opens state.db and reads it. The error is fs.ErrNotExist, ErrVersion,
// that of damage (isDamage), or that of a file which cannot be read now.
func (st *state) load() (facts, map[uint64]entry, error) {
	f, entries := facts{}, map[uint64]entry{}
	if err := st.verified(); err != nil {
		return f, nil, proven(st.path, err)
	}
	if !st.readOnly {
		reserve(st.path, st.room)
	}
	db, err := openBolt(st.path, st.readOnly)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		db, err = openBolt(st.path, true)
	}
	if err != nil {
		return f, nil, proven(st.path, err)
	}
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			return readState(tx, &f, entries)
		})
	})
	if err != nil {
		_ = guarded(db.Close)
		return f, nil, fmt.Errorf("read %s: %w", st.path, proven(st.path, err))
	}
	st.db = db
	return f, entries, nil
}

func (st *state) verified() error {
	if _, err := os.Stat(st.path); err != nil || st.verify == nil {
		return err
	}
	return st.verify(st.path)
}

// CheckState looks whether a state.db makes sense, every page of it: what
// Options.VerifyState has another process do, for bbolt may die of a damaged
// file in a goroutine that nothing guards. A file of a later version is no
// error.
func CheckState(path string) error {
	db, err := openBolt(path, true)
	if err != nil {
		return err
	}
	defer db.Close()
	return guarded(func() error { return db.View(checkPages) })
}

func checkPages(tx *bbolt.Tx) error {
	var first error
	for err := range tx.Check() {
		if first == nil {
			first = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if first != nil {
		return first
	}
	err := readState(tx, &facts{}, map[uint64]entry{})
	if errors.Is(err, ErrVersion) {
		return nil
	}
	return err
}

func readState(tx *bbolt.Tx, f *facts, entries map[uint64]entry) error {
	meta, epochs := tx.Bucket(bucketMeta), tx.Bucket(bucketEpochs)
	if meta == nil || epochs == nil {
		return fmt.Errorf("%w: buckets missing", errDamaged)
	}
	text, err := unseal(keyFacts, meta.Get(keyFacts))
	if err == nil {
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return fmt.Errorf("%w: facts: %w", errDamaged, err)
	}
	if f.Version > stateVersion {
		return fmt.Errorf("%w: version %d, this one knows %d", ErrVersion, f.Version, stateVersion)
	}
	return epochs.ForEach(func(k, v []byte) error {
		var e entry
		text, err := unseal(k, v)
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil || len(k) != 8 {
			return fmt.Errorf("%w: epoch %x: %w", errDamaged, k, err)
		}
		entries[binary.BigEndian.Uint64(k)] = e
		return nil
	})
}

// each gives do what a bucket of state.db holds, in the order of keys; nothing
// if there is no such bucket. Key and value are valid until do returns.
func (st *state) each(bucket []byte, do func(k, v []byte)) error {
	return guarded(func() error {
		return st.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucket)
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				do(k, v)
				return nil
			})
		})
	})
}

// seal puts a checksum (CRC-32C of key and text) before a text: bbolt has none
// for its data pages, and a flipped bit in a digit would be believed.
func seal(key []byte, text string) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, []byte(text))
	return append(binary.BigEndian.AppendUint32(nil, sum), text...)
}

func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errors.New("no checksum")
	}
	text := sealed[4:]
	if sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, text); sum != binary.BigEndian.Uint32(sealed) {
		return nil, errors.New("wrong checksum")
	}
	return text, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// save makes f and the entries durable in one commit, if they are not so
// already, and does more in it; an epoch that has no entry any more is deleted. It reports whether
// something was written.
func (st *state) save(f facts, entries map[uint64]entry, more []func(*bbolt.Tx) error) (bool, error) {
	more = slices.DeleteFunc(more, func(do func(*bbolt.Tx) error) bool { return do == nil })
	next := make(map[uint64]string, len(entries))
	changed := false
	for ordinal, e := range entries {
		b, err := json.Marshal(e)
		if err != nil {
			return false, fmt.Errorf("encode epoch entry: %w", err)
		}
		next[ordinal] = string(b)
		changed = changed || st.saved[ordinal] != string(b)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return false, fmt.Errorf("encode facts: %w", err)
	}
	if st.known && len(more) == 0 && !changed && len(next) == len(st.saved) && st.facts == string(b) {
		return false, nil
	}
	if err := st.write(string(b), next, more); err != nil {
		return false, fmt.Errorf("save %s: %w", st.path, err)
	}
	st.saved, st.facts, st.known = next, string(b), true
	return true, nil
}

// holds tells whether the entry of an epoch is durable.
func (st *state) holds(ordinal uint64) bool {
	_, saved := st.saved[ordinal]
	return st.known && saved
}

// write commits what differs from what is saved. After an error the handle is
// abandoned, and the next write begins with a new one and everything.
func (st *state) write(f string, next map[uint64]string, more []func(*bbolt.Tx) error) error {
	fill := func(tx *bbolt.Tx) error {
		if err := st.put(tx, f, next); err != nil {
			return err
		}
		for _, do := range more {
			if err := do(tx); err != nil {
				return err
			}
		}
		return nil
	}
	if st.db != nil {
		return st.update(fill)
	}
	// No handle: the file was never there, went to quarantine, or its last commit
	// failed, so that nobody knows what it holds. Then everything is written.
	db, err := openBolt(st.path, false)
	if errors.Is(err, fs.ErrNotExist) {
		st.db, err = createBolt(st.disk, st.path, st.room, fill)
		return err
	}
	if err = proven(st.path, err); isDamage(err) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return err
	}
	st.db = db
	return st.update(fill)
}

func (st *state) update(fill func(*bbolt.Tx) error) error {
	err := st.disk.do(Step{Point: PointState, Path: st.path}, func() error {
		return guarded(func() error { return st.db.Update(fill) })
	})
	if err != nil {
		st.abandon()
	}
	if errors.Is(err, berrors.ErrIncompatibleValue) { // a bucket that is none any more
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	if errors.Is(err, errDamaged) {
		return proven(st.path, err)
	}
	return err
}

func (st *state) put(tx *bbolt.Tx, f string, next map[uint64]string) error {
	if !st.known {
		if err := tx.DeleteBucket(bucketEpochs); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		st.saved = nil
	}
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	epochs, err := tx.CreateBucketIfNotExists(bucketEpochs)
	if err != nil {
		return err
	}
	for ordinal, e := range next {
		if st.saved[ordinal] == e {
			continue
		}
		key := binary.BigEndian.AppendUint64(nil, ordinal)
		if err := epochs.Put(key, seal(key, e)); err != nil {
			return err
		}
	}
	for ordinal := range st.saved {
		if _, kept := next[ordinal]; kept {
			continue
		}
		if err := epochs.Delete(binary.BigEndian.AppendUint64(nil, ordinal)); err != nil {
			return err
		}
	}
	return meta.Put(keyFacts, seal(keyFacts, f))
}

// abandon closes the handle for good.
func (st *state) abandon() {
	_ = guarded(st.db.Close)
	st.db, st.known = nil, false
}

// close closes the file.
func (st *state) close() error {
	if st.db == nil {
		return nil
	}
	return guarded(st.db.Close)
}
