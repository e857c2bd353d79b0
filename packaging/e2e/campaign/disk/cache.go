// Package disk is a card with a volatile cache: a file of a FUSE file system
// under a loop device, with ext4 on it. What was written is not safe until the
// kernel asks for a flush. A power cut forgets what was not flushed, or tears
// it. The card can also refuse, or hang.
package disk

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
)

const sector = 512 // bytes that a card writes whole or not at all

// A Loss says what a power cut does to what was not flushed.
type Loss string

// The kinds of loss.
const (
	Forget Loss = "forget" // nothing of it is on the card
	Tear   Loss = "tear"   // any part of it is: each sector as it was, or as any of the writes left it
	Prefix Loss = "prefix" // the writes up to some moment are
	Spare  Loss = "spare"  // all of it is: the cache was written out just in time
)

// Losses are all of them.
var Losses = []Loss{Forget, Tear, Prefix, Spare}

// A mood is how the card behaves now.
type mood int

const (
	well mood = iota
	refusing
	hanging
	gone // after a power cut: takes everything and keeps nothing
)

// A write is one sector that was written and not flushed.
type write struct {
	at   int64 // number of the sector
	data [sector]byte
}

// A cache is what stands between the kernel and the image. Each insertion of
// the card has one of its own.
type cache struct {
	image *os.File
	size  int64

	mu      sync.Mutex
	changed *sync.Cond // mood changed
	mood    mood
	odds    float64 // of a refusal, while refusing
	random  *rand.Rand
	order   []write       // since the last flush
	newest  map[int64]int // sector -> its last write in order
}

func newCache(image *os.File, size int64, random *rand.Rand) *cache {
	c := &cache{image: image, size: size, random: random, newest: map[int64]int{}}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// admit waits while the card hangs, and then tells whether it takes the
// request. c.mu is held.
func (c *cache) admit() error {
	for c.mood == hanging {
		c.changed.Wait()
	}
	if c.mood == refusing && c.random.Float64() < c.odds {
		return syscall.EIO
	}
	return nil
}

// write keeps whole sectors until they are flushed.
func (c *cache) write(p []byte, at int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(); err != nil {
		return err
	}
	if c.mood == gone {
		return nil
	}
	if at%sector != 0 || len(p)%sector != 0 || at+int64(len(p)) > c.size {
		return fmt.Errorf("write of %d bytes at %d: not whole sectors of the card", len(p), at)
	}
	for ; len(p) > 0; p, at = p[sector:], at+sector {
		c.newest[at/sector] = len(c.order)
		c.order = append(c.order, write{at / sector, [sector]byte(p)})
	}
	return nil
}

// read gives what was written last.
func (c *cache) read(p []byte, at int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mood == hanging {
		c.changed.Wait()
	}
	n, err := c.image.ReadAt(p, at)
	if err != nil && err != io.EOF {
		return n, err
	}
	for s := at / sector; s*sector < at+int64(n); s++ {
		if i, ok := c.newest[s]; ok {
			overlay(p[:n], at, c.order[i])
		}
	}
	return n, nil
}

// overlay copies the part of a sector that p, read at that offset, covers.
func overlay(p []byte, at int64, w write) {
	from := w.at*sector - at
	if from >= 0 {
		copy(p[from:], w.data[:])
		return
	}
	copy(p, w.data[-from:])
}

// flush makes durable what was written.
func (c *cache) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(); err != nil {
		return err
	}
	return c.keep(c.order, slices.Collect(maps.Values(c.newest)))
}

// keep writes those of the writes to the image and forgets all. c.mu is held.
func (c *cache) keep(order []write, which []int) error {
	if c.mood == gone {
		return nil
	}
	slices.Sort(which)
	for _, i := range which {
		if _, err := c.image.WriteAt(order[i].data[:], order[i].at*sector); err != nil {
			return fmt.Errorf("write the image of a card: %w", err)
		}
	}
	c.order, c.newest = nil, map[int64]int{}
	return nil
}

// cut is the moment of a power cut. From then on nothing reaches the image. It
// tells how many sectors were not flushed, and how many of them are kept.
func (c *cache) cut(l Loss) (unflushed, kept int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var which []int
	switch l {
	case Spare:
		which = slices.Collect(maps.Values(c.newest))
	case Prefix:
		which = c.upTo(c.random.IntN(len(c.order) + 1))
	case Tear:
		which = c.anyPart()
	}
	unflushed, kept = len(c.newest), len(which)
	err = c.keep(c.order, which)
	c.mood = gone
	c.order, c.newest = nil, map[int64]int{}
	c.changed.Broadcast()
	return unflushed, kept, err
}

// upTo gives for each sector its last write among the first n.
func (c *cache) upTo(n int) []int {
	last := map[int64]int{}
	for i := range n {
		last[c.order[i].at] = i
	}
	return slices.Collect(maps.Values(last))
}

// anyPart gives for each sector none of its writes or any one of them.
func (c *cache) anyPart() []int {
	versions := map[int64][]int{}
	for i, w := range c.order {
		versions[w.at] = append(versions[w.at], i)
	}
	var which []int
	for _, at := range slices.Sorted(maps.Keys(versions)) {
		if k := c.random.IntN(len(versions[at]) + 1); k > 0 {
			which = append(which, versions[at][k-1])
		}
	}
	return which
}

func (c *cache) become(m mood, odds float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mood != gone {
		c.mood, c.odds = m, odds
	}
	c.changed.Broadcast()
}
