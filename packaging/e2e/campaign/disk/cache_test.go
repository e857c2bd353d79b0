package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const sectors = 64

func newTestCache(t *testing.T, seed uint64) *cache {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Truncate(sectors * sector); err != nil {
		t.Fatal(err)
	}
	return newCache(f, sectors*sector, rand.New(rand.NewPCG(seed, 0)))
}

func put(t *testing.T, c *cache, at int64, n int, b byte) {
	t.Helper()
	if err := c.write(bytes.Repeat([]byte{b}, n*sector), at*sector); err != nil {
		t.Fatal(err)
	}
}

// at gives the first byte of a sector, as the kernel reads it.
func at(t *testing.T, c *cache, n int64) byte {
	t.Helper()
	var p [3]byte
	if _, err := c.read(p[:], n*sector+7); err != nil {
		t.Fatal(err)
	}
	return p[0]
}

// onImage gives the first byte of each sector that is safe.
func onImage(t *testing.T, c *cache) []byte {
	t.Helper()
	all := make([]byte, sectors*sector)
	if _, err := c.image.ReadAt(all, 0); err != nil {
		t.Fatal(err)
	}
	var firsts []byte
	for i := 0; i < len(all); i += sector {
		firsts = append(firsts, all[i])
	}
	return firsts
}

func TestWhatIsFlushedIsSafe(t *testing.T) {
	for _, loss := range Losses {
		c := newTestCache(t, 1)
		put(t, c, 3, 2, 'a')
		if got := onImage(t, c)[3]; got != 0 {
			t.Errorf("before the flush the image has %q", got)
		}
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
		put(t, c, 9, 1, 'b')
		if at(t, c, 4) != 'a' || at(t, c, 9) != 'b' {
			t.Error("what was written is not read")
		}
		if _, _, err := c.cut(loss); err != nil {
			t.Fatal(err)
		}
		put(t, c, 3, 2, 'z')
		image := onImage(t, c)
		if image[3] != 'a' || image[4] != 'a' || loss == Forget && image[9] != 0 || loss == Spare && image[9] != 'b' {
			t.Errorf("%s left %q", loss, image[:10])
		}
	}
}

// A cut that tears leaves each sector as any of its writes, or as it was; and
// over many cuts all of these happen.
func TestTearLeavesAnyPart(t *testing.T) {
	seen := map[[2]byte]bool{}
	for seed := range uint64(200) {
		c := newTestCache(t, seed)
		put(t, c, 0, 2, 'a')
		put(t, c, 0, 2, 'b')
		if _, _, err := c.cut(Tear); err != nil {
			t.Fatal(err)
		}
		seen[[2]byte(onImage(t, c)[:2])] = true
	}
	if len(seen) != 9 {
		t.Errorf("of the 9 ways to tear two sectors that were written twice, %d happened: %v", len(seen), seen)
	}
}

func TestPrefixKeepsTheOrder(t *testing.T) {
	seen := map[[2]byte]bool{}
	for seed := range uint64(200) {
		c := newTestCache(t, seed)
		put(t, c, 0, 1, 'a')
		put(t, c, 1, 1, 'b')
		if _, _, err := c.cut(Prefix); err != nil {
			t.Fatal(err)
		}
		seen[[2]byte(onImage(t, c)[:2])] = true
	}
	if len(seen) != 3 || seen[[2]byte{0, 'b'}] {
		t.Errorf("the second write without the first: %v", seen)
	}
}

func TestRefusesAndHangs(t *testing.T) {
	c := newTestCache(t, 1)
	c.become(refusing, 1)
	if err := c.write(make([]byte, sector), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write that is refused: %v", err)
	}
	if err := c.flush(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a flush that is refused: %v", err)
	}
	c.become(hanging, 0)
	done := make(chan error)
	go func() { done <- c.flush() }()
	select {
	case err := <-done:
		t.Fatalf("a card that hangs answered: %v", err)
	default:
	}
	c.become(well, 0)
	if err := <-done; err != nil {
		t.Errorf("well again, and it says %v", err)
	}
}
