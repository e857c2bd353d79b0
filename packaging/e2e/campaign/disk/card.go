package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Card is an image of an ext4 file system that can be inserted and mounted.
// It is used by one goroutine at a time.
type Card struct {
	Mount string // where it is mounted

	name    string
	image   string // path
	size    int64
	random  *rand.Rand
	shelf   *Shelf
	file    *os.File
	cache   *cache // of this insertion; nil: not inserted
	inserts int
}

// Format makes a new card of size bytes. onError is what ext4 does when it
// finds itself wrong: "continue" or "remount-ro".
func Format(s *Shelf, dir, name, onError string, size int64, random *rand.Rand) (*Card, error) {
	c := &Card{Mount: filepath.Join(dir, name), image: filepath.Join(dir, name+".img"), name: name, size: size, random: random, shelf: s}
	if err := os.Mkdir(c.Mount, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(c.image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("make the image of a card: %w", err)
	}
	return c, run("mkfs.ext4", "-q", "-F", "-m", "0", "-e", onError, "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", c.image)
}

// CopyTo copies the card, which is not inserted, to a file.
func (c *Card) CopyTo(path string) error { return copyImage(c.image, path) }

// PutBack makes the card, which is not inserted, what it was when it was
// copied.
func (c *Card) PutBack(path string) error { return copyImage(path, c.image) }

// Clone makes another card with the same content; neither is inserted.
func (c *Card) Clone(dir, name string) (*Card, error) {
	n := &Card{Mount: filepath.Join(dir, name), image: filepath.Join(dir, name+".img"), name: name, size: c.size, shelf: c.shelf}
	n.random = c.random
	if err := os.Mkdir(n.Mount, 0o700); err != nil {
		return nil, err
	}
	return n, copyImage(c.image, n.image)
}

func copyImage(from, to string) error {
	return run("cp", "--sparse=always", "--reflink=auto", from, to)
}

// Insert puts the card in and mounts it. Check is run before, if wanted: what
// a board does at boot ("-p"), or what a person does who mends it ("-fy").
func (c *Card) Insert(check string, flags uintptr) error {
	f, err := os.OpenFile(c.image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	c.inserts++
	c.file, c.cache = f, newCache(f, c.size, c.random)
	path := c.shelf.put(c.filename(), c.cache)
	device, err := attach(filepath.Dir(c.image), path)
	if err != nil {
		return err
	}
	defer device.Close() // the mount holds it from here on; the last one to let go detaches it
	if check != "" {
		if err := run("e2fsck", check, device.Name()); err != nil && !mended(err) {
			return err
		}
	}
	if err := unix.Mount(device.Name(), c.Mount, "ext4", flags|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount card %s: %w", c.name, err)
	}
	return nil
}

func (c *Card) filename() string { return fmt.Sprintf("%s-%d", c.name, c.inserts) }

// mended tells whether e2fsck mended what was wrong (1, 2: restart wanted).
func mended(err error) bool {
	var x *exec.ExitError
	return errors.As(err, &x) && x.ExitCode() <= 3
}

// Eject unmounts in order: all is on the card.
func (c *Card) Eject() error {
	err := retry(func() error { return unix.Unmount(c.Mount, 0) })
	if err != nil {
		return fmt.Errorf("unmount card %s: %w", c.name, err)
	}
	_, _, err = c.cache.cut(Spare)
	return errors.Join(err, c.out())
}

// Cut is a power cut: what was not flushed is lost as l says. Processes that
// use the card must have been killed.
func (c *Card) Cut(l Loss) (unflushed, kept int, err error) {
	unflushed, kept, err = c.cache.cut(l)
	uerr := retry(func() error { return unix.Unmount(c.Mount, 0) })
	if uerr != nil { // the kernel is still at work for it; a new insertion is another file
		uerr = unix.Unmount(c.Mount, unix.MNT_DETACH)
	}
	return unflushed, kept, errors.Join(err, uerr, c.out())
}

// out ends an insertion. The file stays open for a kernel that still reads.
func (c *Card) out() error {
	c.shelf.take(c.filename())
	c.cache = nil
	return nil
}

// Discard unmounts the card, whatever is under way.
func (c *Card) Discard() {
	if c.cache != nil {
		c.cache.become(gone, 0)
		_ = unix.Unmount(c.Mount, unix.MNT_DETACH)
	}
}

// Refuse makes the card refuse each write and flush with these odds.
func (c *Card) Refuse(odds float64) { c.cache.become(refusing, odds) }

// Hang makes the card answer nothing.
func (c *Card) Hang() { c.cache.become(hanging, 0) }

// Heal ends Refuse and Hang.
func (c *Card) Heal() { c.cache.become(well, 0) }

// Frozen tells whether ext4 has become read-only by itself.
func (c *Card) Frozen() bool {
	var st unix.Statfs_t
	if unix.Statfs(c.Mount, &st) != nil || st.Flags&unix.ST_RDONLY != 0 {
		return true
	}
	f, err := os.CreateTemp(c.Mount, ".probe")
	if err != nil {
		return !errors.Is(err, unix.ENOSPC)
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) != nil
}

// Writable remounts a card that was mounted read-only.
func (c *Card) Writable() error {
	if err := unix.Mount("", c.Mount, "", unix.MS_REMOUNT|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("remount card %s writable: %w", c.name, err)
	}
	return nil
}

// attach makes a loop device of the file. It is detached when nobody uses it
// any more, by the kernel, even if this process dies first.
func attach(dir, path string) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	backing, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open card %s: %w", path, err)
	}
	defer unix.Close(backing)
	for range 50 {
		device, err := configure(control, dir, backing)
		if err == nil {
			return device, nil
		}
		if !errors.Is(err, unix.EBUSY) { // somebody else took it in between
			return nil, fmt.Errorf("attach card %s: %w", path, err)
		}
	}
	return nil, errors.New("no loop device is free")
}

func configure(control *os.File, dir string, backing int) (*os.File, error) {
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("find a free loop device: %w", err)
	}
	node := filepath.Join(dir, fmt.Sprintf("loop%d", n))
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make the node of a loop device: %w", err)
	}
	device, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(backing), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		device.Close()
		return nil, err
	}
	return device, nil
}

// retry tries for some seconds what is busy.
func retry(f func() error) error {
	var err error
	for range 50 {
		if err = f(); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
