package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/durable"
	"github.com/fieldgate/fieldgate/store/block"
)

// The journal is a preallocated file of slots of one page. A flush writes the
// open block, what came since the last block that filled a slot, to a slot
// other than the one that holds it now, and syncs once: a slot that tears
// leaves the version before. A slot, numbers big-endian:
//
//	0 magic "fgsl"              16 floor, 8: slots of lower flushes are stale
//	4 CRC-32C of the rest       24 ordinal of the epoch, 8
//	8 number of the flush, 8    32 bytes of content, 4
//	                            36 what it is, 4; then the content
//
// Slots 0 and 1 hold, in turn, the mark of an opening or a split; the others
// blocks.
const (
	journalSlots = 256
	slotSize     = 4096
	slotHeader   = 40
	slotRoom     = slotSize - slotHeader
	slotMagic    = "fgsl"
	markSlots    = 2
	slotIsBlock  = 0
	slotIsMark   = 1
	maxBadSlots  = 16 // so many refused slots and the journal is left alone
)

// errNoJournal is a journal that cannot be written; volumes are used instead.
var errNoJournal = errors.New("journal cannot be used")

// A mark repeats what state.db says of the present epoch: it shows a state.db
// that is an older copy.
type mark struct {
	ID      gateway.EpochID `json:"id"`
	Ordinal uint64          `json:"ordinal"`
	Opened  gateway.Stamp   `json:"opened"`
	Anchor  gateway.Anchor  `json:"anchor"`
	AtMost  uint64          `json:"at_most"`
	Rate    float64         `json:"rate,omitempty"`
	Burst   int             `json:"burst,omitempty"`
	Alone   bool            `json:"alone,omitempty"`   // there was no room in state.db for what it says
	Closed  bool            `json:"closed,omitempty"`  // the epoch ended in order …
	Counted uint64          `json:"counted,omitempty"` // … at this reading; or so many it had when not all of them were written, …
	EndAt   gateway.Stamp   `json:"end_at,omitempty"`  // … at this time
}

// A piece is a block that is in the journal and not yet in a volume.
type piece struct {
	ordinal uint64
	gateway.BlockHeader
	data  []byte // as in the slot; never changed
	slot  int
	flush uint64
}

func (p *piece) record() record {
	return record{ordinal: p.ordinal, BlockHeader: p.BlockHeader, value: p.data}
}

// A journal is written by whoever holds Store.writeMu; pieces are changed
// under Store.mu too.
type journal struct {
	path   string
	disk   *disk
	file   *os.File // nil: not open
	flush  uint64   // number of the last one
	floor  uint64   // flushes below hold nothing any more
	marked uint64   // ordinal of the epoch in the last mark that was written
	torn   []int    // slots found damaged, to be cleared with the next mark
	taken  [journalSlots]bool
	bad    int // slots that refused a write
	next   int // where the search for a free slot begins
	pieces []*piece
	open   *piece // the last of pieces, if it may grow; nil: none
}

// found is what a journal file holds.
type found struct {
	marks   []mark
	pieces  []*piece
	flush   uint64 // the highest number seen
	floor   uint64 // the highest floor seen
	damaged []int  // slots that hold something that makes no sense
	missing bool   // the file is not there, or too short
}

// readJournal reads the file with plain reads. A file that is not there, or
// too short, is no error.
func readJournal(path string) (found, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return found{missing: true}, nil
	}
	if err != nil {
		return found{}, fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	data := make([]byte, journalSlots*slotSize)
	n, err := io.ReadFull(f, data)
	data = data[:n]
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return found{}, fmt.Errorf("read journal: %w", err)
	}
	in := found{missing: len(data) < journalSlots*slotSize}
	for i := 0; i < journalSlots && i*slotSize < len(data); i++ {
		page := data[i*slotSize : min(len(data), (i+1)*slotSize)]
		if !in.add(i, page) && !allZero(page) {
			in.damaged = append(in.damaged, i)
		}
	}
	return in, nil
}

var emptySlot [slotSize]byte

func allZero(page []byte) bool { return bytes.Equal(page, emptySlot[:len(page)]) }

// add takes in one slot and tells whether it makes sense.
func (in *found) add(slot int, page []byte) bool {
	be := binary.BigEndian
	if len(page) < slotSize || string(page[:4]) != slotMagic || be.Uint32(page[4:]) != crc32.Checksum(page[8:], castagnoli) {
		return false
	}
	size := be.Uint32(page[32:])
	if size > slotRoom {
		return false
	}
	flush, content := be.Uint64(page[8:]), page[slotHeader:slotHeader+size]
	in.flush = max(in.flush, flush)
	in.floor = max(in.floor, be.Uint64(page[16:]))
	if be.Uint32(page[36:]) == slotIsMark {
		var m mark
		if json.Unmarshal(content, &m) != nil {
			return false
		}
		in.marks = append(in.marks, m)
		return true
	}
	h, err := block.Parse(content)
	if err != nil {
		return false
	}
	in.pieces = append(in.pieces, &piece{ordinal: be.Uint64(page[24:]), BlockHeader: h, data: content, slot: slot, flush: flush})
	return true
}

// fillSlot makes the page of a slot.
func (j *journal) fillSlot(ordinal uint64, kind uint32, content []byte) []byte {
	page, be := make([]byte, slotSize), binary.BigEndian
	copy(page, slotMagic)
	be.PutUint64(page[8:], j.flush)
	be.PutUint64(page[16:], j.floor)
	be.PutUint64(page[24:], ordinal)
	be.PutUint32(page[32:], uint32(len(content)))
	be.PutUint32(page[36:], kind)
	copy(page[slotHeader:], content)
	be.PutUint32(page[4:], crc32.Checksum(page[8:], castagnoli))
	return page
}

// ready opens the file for writing, making it if it is not there whole.
func (j *journal) ready() error {
	if j.bad >= maxBadSlots {
		return errNoJournal
	}
	if j.file != nil {
		return nil
	}
	info, err := os.Stat(j.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != journalSlots*slotSize && len(j.pieces) == 0 {
		err = j.create()
	}
	if err != nil {
		return fmt.Errorf("prepare journal: %w", err)
	}
	j.file, err = os.OpenFile(j.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return nil
}

// create makes the file with all its blocks, so that a flush changes nothing
// of the file system but one page.
func (j *journal) create() error {
	err := j.disk.do(Step{Point: PointFile, Path: j.path + temporary}, func() error {
		if err := os.WriteFile(j.path+temporary, make([]byte, journalSlots*slotSize), 0o600); err != nil {
			return err
		}
		return durable.SyncFile(j.path + temporary)
	})
	if err != nil {
		return err
	}
	return j.disk.rename(j.path+temporary, j.path)
}

// write puts pages into slots and syncs once. After an error the slots are
// not used again, and the next write opens the file anew: what the kernel
// holds of it cannot be relied on.
func (j *journal) write(slots []int, pages [][]byte) error {
	step := Step{Point: PointSlot, Path: j.path}
	for i, slot := range slots {
		step.Writes = append(step.Writes, Write{Offset: int64(slot) * slotSize, Data: pages[i]})
	}
	// If power dies in here, any of the slots may be old, new or torn; a torn one
	// fails its checksum. None of them held anything that still counts.
	err := j.disk.do(step, func() error {
		for _, w := range step.Writes {
			if _, err := j.file.WriteAt(w.Data, w.Offset); err != nil {
				return err
			}
		}
		return unix.Fdatasync(int(j.file.Fd()))
	})
	if err == nil {
		return nil
	}
	_ = j.file.Close() // its error tells nothing that err does not
	j.file = nil
	for _, slot := range slots {
		j.refused(slot, err)
	}
	return err
}

// refused takes a slot out of use that the card did not take for a reason of
// its own.
func (j *journal) refused(slot int, err error) {
	if slot >= markSlots && errors.Is(err, unix.EIO) {
		j.taken[slot] = true
		j.bad++
	}
}

// writeMark writes the mark of an epoch, and clears what was found damaged.
func (j *journal) writeMark(m mark) error {
	if err := j.ready(); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	j.flush++
	j.floor = j.lowest()
	slots, pages := []int{int(m.Ordinal % markSlots)}, [][]byte{j.fillSlot(m.Ordinal, slotIsMark, text)}
	for _, slot := range j.torn {
		if slot != slots[0] {
			slots, pages = append(slots, slot), append(pages, make([]byte, slotSize))
		}
	}
	if err := j.write(slots, pages); err != nil {
		return err
	}
	j.torn, j.marked = nil, m.Ordinal
	return nil
}

// free finds n slots that hold nothing; the file is gone round in a circle,
// so that every slot wears alike.
func (j *journal) free(n int) ([]int, error) {
	var slots []int
	for i := range journalSlots {
		slot := (j.next + i) % journalSlots
		if len(slots) < n && slot >= markSlots && !j.taken[slot] {
			slots = append(slots, slot)
		}
	}
	if len(slots) < n {
		return nil, fmt.Errorf("%w: %d slots are free, %d are needed", errNoJournal, len(slots), n)
	}
	return slots, nil
}

// room counts the slots that hold nothing. Store.mu is held.
func (j *journal) room() (n int) {
	for slot := markSlots; slot < journalSlots; slot++ {
		if !j.taken[slot] {
			n++
		}
	}
	return n
}

// add makes pieces durable; the first replaces the open one, if there is one.
// It does not change the list of pieces.
func (j *journal) add(pieces []*piece) error {
	if err := j.ready(); err != nil {
		return err
	}
	slots, err := j.free(len(pieces))
	if err != nil {
		return err
	}
	j.flush++
	j.floor = j.lowest()
	pages := make([][]byte, len(pieces))
	for i, p := range pieces {
		p.slot, p.flush = slots[i], j.flush
		pages[i] = j.fillSlot(p.ordinal, slotIsBlock, p.data)
	}
	return j.write(slots, pages)
}

// keep puts pieces that add made durable into the list. Store.mu is held.
func (j *journal) keep(pieces []*piece) {
	if j.open != nil {
		j.taken[j.open.slot] = false
		j.pieces = j.pieces[:len(j.pieces)-1]
	}
	for _, p := range pieces {
		j.taken[p.slot] = true
	}
	j.pieces = append(j.pieces, pieces...)
	j.open = pieces[len(pieces)-1]
	j.next = (j.open.slot + 1) % journalSlots
}

// drop removes the pieces of an epoch that a volume holds up to last. Their
// slots are free. Store.mu is held.
func (j *journal) drop(ordinal, last uint64) {
	kept := j.pieces[:0:0]
	for _, p := range j.pieces {
		if p.ordinal != ordinal || p.Last() > last {
			kept = append(kept, p)
			continue
		}
		j.taken[p.slot] = false
		if p == j.open {
			j.open = nil
		}
	}
	j.pieces = kept
}

// lowest is the number of the first flush that still counts.
func (j *journal) lowest() uint64 {
	low := j.flush
	for _, p := range j.pieces {
		low = min(low, p.flush)
	}
	return low
}

// find gives the piece that holds a reading, nil if none does. Store.mu is
// held.
func (j *journal) find(ordinal, seq uint64) *piece {
	for _, p := range j.pieces {
		if p.ordinal == ordinal && p.First <= seq && seq <= p.Last() {
			return p
		}
	}
	return nil
}

// of gives the pieces of an epoch, in order. Store.mu is held.
func (j *journal) of(ordinal uint64) []*piece {
	var own []*piece
	for _, p := range j.pieces {
		if p.ordinal == ordinal {
			own = append(own, p)
		}
	}
	return own
}

// readings counts what the pieces hold. Store.mu is held.
func (j *journal) readings() (n uint64) {
	for _, p := range j.pieces {
		n += p.N
	}
	return n
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // all that matters is synced
		j.file = nil
	}
}
