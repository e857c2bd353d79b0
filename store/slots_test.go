package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// newJournal gives a journal in a folder of its own.
func newJournal(t interface{ Fatal(...any) }, dir string) *journal {
	d := &disk{card: soundCard{}, hung: func(Step) {}}
	j := &journal{path: filepath.Join(dir, "journal"), disk: d}
	if err := j.ready(); err != nil {
		t.Fatal(err)
	}
	return j
}

// inRAM gives a folder that lies in RAM, "" if there is none.
func inRAM() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err != nil || !info.IsDir() {
		return ""
	}
	return shm
}

// newPiece gives a block of an epoch that begins at first.
func newPiece(t interface{ Fatal(...any) }, ordinal, first, n uint64) *piece {
	rs := make([]gateway.Reading, n)
	for i := range rs {
		rs[i] = gateway.Reading{Channel: &gateway.Channel{Device: "d", Quantity: "q"}, Value: float64(first) + float64(i),
			At: gateway.Stamp(i + 1)}
	}
	id := gateway.EpochID{byte(ordinal)}
	data, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: id, First: first}}, rs)
	if err != nil {
		t.Fatal(err)
	}
	p := &piece{ordinal: ordinal, data: data}
	if p.BlockHeader, err = block.Parse(data); err != nil {
		t.Fatal(err)
	}
	return p
}

// What a journal says that it holds is what its file gives back, whatever was
// added, replaced and dropped; no slot is used for two pieces, and the slots of
// marks never for a piece.
func TestJournalGivesBackWhatItHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(inRAM(), "journal") // a hundred journals: syncs cost nothing there
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j := newJournal(t, dir)
		last := map[uint64]uint64{}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			ordinal := rapid.Uint64Range(1, 2).Draw(t, "epoch")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				if err := j.writeMark(mark{ID: gateway.EpochID{byte(ordinal)}, Ordinal: ordinal}); err != nil {
					t.Fatal(err)
				}
			case 1:
				upto := rapid.Uint64Range(0, last[ordinal]).Draw(t, "in a volume up to")
				j.drop(ordinal, upto)
			default:
				j.grow(t, ordinal, last)
			}
			checkSlots(t, j)
		}
		checkFile(t, j)
	})
}

// grow adds what came since to the open piece, or begins another.
func (j *journal) grow(t *rapid.T, ordinal uint64, last map[uint64]uint64) {
	first := last[ordinal] + 1
	if j.open != nil && j.open.ordinal != ordinal {
		j.open = nil
	}
	if j.open != nil {
		first = j.open.First
	}
	n := last[ordinal] + rapid.Uint64Range(1, 9).Draw(t, "more") + 1 - first
	p := newPiece(t, ordinal, first, n)
	if err := j.add([]*piece{p}); err != nil {
		t.Fatal(err)
	}
	j.keep([]*piece{p})
	last[ordinal] = p.Last()
}

// checkSlots compares the table of slots with the pieces.
func checkSlots(t *rapid.T, j *journal) {
	slots := map[int]*piece{}
	for _, p := range j.pieces {
		if other := slots[p.slot]; other != nil || p.slot < markSlots || !j.taken[p.slot] {
			t.Fatalf("slot %d of %v, taken %v, also of %v", p.slot, p.Range, j.taken[p.slot], other)
		}
		slots[p.slot] = p
	}
	if room := j.room(); room != journalSlots-markSlots-len(j.pieces) {
		t.Fatalf("room for %d with %d pieces", room, len(j.pieces))
	}
	for _, p := range j.pieces {
		if j.lowest() > p.flush {
			t.Fatalf("flushes from %d on count, and %v is of flush %d", j.lowest(), p.Range, p.flush)
		}
		if j.find(p.ordinal, p.First) != p || j.find(p.ordinal, p.Last()) != p || !slices.Contains(j.of(p.ordinal), p) {
			t.Fatalf("%v is not found", p.Range)
		}
	}
}

// checkFile reads the file as the next opening does.
func checkFile(t *rapid.T, j *journal) {
	j.close()
	in, err := readJournal(j.path)
	if err != nil || in.missing || len(in.damaged) > 0 {
		t.Fatalf("missing %v, damaged %v, %v", in.missing, in.damaged, err)
	}
	if in.flush > j.flush {
		t.Fatalf("flush %d is on the card, %d were made", in.flush, j.flush)
	}
	for _, p := range j.pieces {
		same := func(o *piece) bool { return o.slot == p.slot && o.flush == p.flush && string(o.data) == string(p.data) }
		if !slices.ContainsFunc(in.pieces, same) {
			t.Fatalf("%v of flush %d is not on the card", p.Range, p.flush)
		}
	}
}

// Slots that the card refuses are not used again, and a journal with too many
// of them is left alone.
func TestRefusedSlotsAreNotUsedAgain(t *testing.T) {
	j := newJournal(t, t.TempDir())
	var refused []int
	j.disk.card = cardFunc(func(s Step, act func() error) error {
		if s.Point != PointSlot {
			return act()
		}
		refused = append(refused, int(s.Writes[0].Offset/slotSize))
		return unix.EIO
	})
	for n := range maxBadSlots {
		if err := j.add([]*piece{newPiece(t, 1, 1, 3)}); !errors.Is(err, unix.EIO) {
			t.Fatalf("write %d: %v", n+1, err)
		}
	}
	slices.Sort(refused)
	if n := len(slices.Compact(slices.Clone(refused))); n != maxBadSlots {
		t.Errorf("%d writes went to %d slots", len(refused), n)
	}
	if err := j.add([]*piece{newPiece(t, 1, 1, 3)}); !isNoJournal(err) {
		t.Errorf("a journal with %d bad slots answers %v", j.bad, err)
	}
}

// A cardFunc is a Card that is one function.
type cardFunc func(Step, func() error) error

// Do implements Card.
func (f cardFunc) Do(s Step, act func() error) error { return f(s, act) }

// A full card refuses no slot for good.
func TestSlotsOfAFullCardAreTriedAgain(t *testing.T) {
	j := newJournal(t, t.TempDir())
	full := true
	j.disk.card = cardFunc(func(s Step, act func() error) error {
		if full && s.Point == PointSlot {
			return unix.ENOSPC
		}
		return act()
	})
	for range 3 * maxBadSlots {
		if err := j.add([]*piece{newPiece(t, 1, 1, 3)}); !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	full = false
	p := newPiece(t, 1, 1, 3)
	if err := j.add([]*piece{p}); err != nil || j.bad != 0 {
		t.Errorf("with room again: %v, %d slots out of use", err, j.bad)
	}
}
