package storetest

import (
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/fieldgate/fieldgate/store"
)

// sector is what a card writes whole or not at all, as a rule. In one of the
// images that tear a sector it does not.
const sector = 512

// Cuts gives different folders that a power cut during a step may leave on
// the card, at most n of them. What was there before the step is durable; of
// the step any part may have been done, as far as syncs within it do not order
// it. A folder is valid until the next one.
func Cuts(r Recorded, n int, random *rand.Rand) iter.Seq[Dir] {
	return func(yield func(Dir) bool) {
		c := cutter{Recorded: r, random: random}
		seen := map[uint64]bool{}
		for try := 0; len(seen) < n && try < 3*n; try++ {
			c.chosen = fnvBasis
			d := c.draw(try)
			if seen[c.chosen] {
				continue
			}
			seen[c.chosen] = true
			if !yield(d) {
				return
			}
		}
	}
}

type cutter struct {
	Recorded
	random  *rand.Rand
	chosen  uint64 // FNV-1a of what was decided: it tells folders apart
	scratch []byte // the file that is torn
	often   float64
	tears   bool // one more sector may be torn in itself
}

const fnvBasis, fnvPrime = 14695981039346656037, 1099511628211

func (c *cutter) choose(what int) { c.chosen = (c.chosen ^ uint64(what)) * fnvPrime }

// copyOf gives a copy of a content that is valid until the next.
func (c *cutter) copyOf(content []byte) []byte {
	c.scratch = append(c.scratch[:0], content...)
	return c.scratch
}

// draw makes one folder; the first two are those in which nothing and all of
// the step was done.
func (c *cutter) draw(try int) Dir {
	c.often, c.tears = []float64{0.5, 0.5, 0.1, 0.9}[c.random.IntN(4)], c.random.IntN(8) == 0
	switch {
	case try < 2:
		c.choose(-1 - try)
		return []Dir{c.Before, c.After}[try]
	case c.Point == store.PointSlot:
		return c.slots()
	case c.Point == store.PointFile:
		return c.file()
	case c.Point == store.PointCommit, c.Point == store.PointState:
		return c.commit()
	case c.Point == PointOutside:
		return c.some()
	}
	c.choose(-2) // one rename, link, unlink or change of length: it is done or not
	return c.After
}

// some has each file that changed as it was or as it became.
func (c *cutter) some() Dir {
	d := maps.Clone(c.Before)
	names := changed(c.Before, c.After)
	slices.Sort(names)
	for _, name := range names {
		now := c.random.IntN(2)
		c.choose(now)
		if now == 0 {
			continue
		}
		delete(d, name)
		if content, there := c.After[name]; there {
			d[name] = content
		}
	}
	return d
}

// slots has any subset of the sectors of what was written in place.
func (c *cutter) slots() Dir {
	now := c.copyOf(c.Before[c.Path])
	for _, w := range c.Writes {
		for at := 0; at < len(w.Data); at += sector {
			from := w.Offset + int64(at)
			c.put(now[from:from+sector], w.Data[at:])
		}
	}
	return c.Before.with(c.Path, now)
}

// file has a file of any length with any of its sectors: the sync of its
// folder comes with the rename.
func (c *cutter) file() Dir {
	whole := c.After[c.Path]
	part := make([]byte, c.random.IntN(len(whole)+1))
	c.choose(len(part))
	for at := 0; at+sector <= len(part); at += sector {
		c.put(part[at:at+sector], whole[at:])
	}
	return c.Before.with(c.Path, part)
}

// commit has what bbolt leaves of a transaction that is cut. tx.Commit grows
// the file first (Truncate, then Sync: db.go, grow), then writes the changed
// pages and syncs (tx.go, write), then one of the meta pages, which are pages 0
// and 1, and syncs again (tx.go, writeMeta). [bbolt v1.5.0]
func (c *cutter) commit() Dir {
	const metas = 2 * page
	old, now := c.Before[c.Path], c.After[c.Path]
	mixed := c.copyOf(now)
	clear(mixed[copy(mixed, old):])
	from, to := metas, len(now)
	if c.random.IntN(4) == 0 { // the pages are there, the meta page is being written
		copy(mixed[metas:], now[metas:])
		c.choose(-3)
		from, to = 0, metas
	}
	for at := from; at < to; at += sector {
		c.put(mixed[at:at+sector], now[at:])
	}
	return c.Before.with(c.Path, mixed)
}

// put writes a sector, or leaves it as it was, or tears it.
func (c *cutter) put(dst, src []byte) {
	src = src[:len(dst)]
	switch {
	case string(dst) == string(src):
	case c.tears && c.random.IntN(4) == 0:
		c.tears = false
		c.choose(2 + copy(dst[:c.random.IntN(sector)], src))
	case c.random.Float64() < c.often:
		c.choose(1)
		copy(dst, src)
	default:
		c.choose(0)
	}
}
