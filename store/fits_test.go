package store

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A rewrite, which makes less of what is there, may use what min_free leaves
// to others, but neither exceed max_size nor fill the card.
func TestRewriteFits(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("SKIPPED: cannot mount a file system of its own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	s := &Store{o: Options{Dir: dir}}
	_, free, known := s.space()
	if !known {
		t.Fatal("the space of the card is not known")
	}
	for name, c := range map[string]struct {
		maxSize, minFree, need int64
		may                    bool
	}{
		"room for all":                   {0, 0, 1 << 20, true},
		"all but the least":              {0, 0, free - leastFree, true},
		"into the least":                 {0, 0, free - leastFree + 1, false},
		"more than is free":              {0, 0, free + 1, false},
		"what min_free leaves to others": {0, free, free - leastFree, true},
		"up to max_size":                 {8 << 20, 0, 2 << 20, true},
		"beyond max_size":                {8 << 20, 0, 2<<20 + 1, false},
		"below max_size, the card full":  {free * 4, 0, free + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			s.o.MaxSize, s.o.MinFree = c.maxSize, c.minFree
			s.volumes, s.beside = []*volume{{bytes: 5 << 20}}, 1<<20
			if may := s.fits(c.need); may != c.may {
				t.Errorf("%d bytes with %d free: %v, want %v", c.need, free, may, c.may)
			}
		})
	}
}
