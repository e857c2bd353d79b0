package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A card is an ext4 file system on a loop device of its own: what reaches the
// device is what an SD card would get, the file system's journal included.
type card struct {
	dir    string // where it is mounted
	device string // "loop3"
	image  string
}

var errNoCard = errors.New("a loop device can be mounted by root alone")

// insertCard makes and mounts one of 512 MiB.
func insertCard() (*card, error) {
	if os.Getuid() != 0 {
		return nil, errNoCard
	}
	base, err := os.MkdirTemp("", "fieldgate-card-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	c := &card{dir: filepath.Join(base, "mnt"), image: filepath.Join(base, "image")}
	if err := c.insert(); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

func (c *card) insert() error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := command("truncate", "-s", "512M", c.image); err != nil {
		return err
	}
	// As on a Raspberry Pi: 4 KiB blocks, a journal; the tables made at once,
	// so that nothing writes them later.
	if err := command("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", c.image); err != nil {
		return err
	}
	if err := command("mount", "-o", "loop,noatime", c.image, c.dir); err != nil {
		return err
	}
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", c.dir).Output()
	if err != nil {
		return fmt.Errorf("find the loop device: %w", err)
	}
	c.device = filepath.Base(strings.TrimSpace(string(out)))
	return nil
}

// remove unmounts and deletes it.
func (c *card) remove() {
	_ = command("umount", c.dir) // not mounted if insert failed
	_ = os.RemoveAll(filepath.Dir(c.image))
}

// written is how many bytes the device got, everything synced.
func (c *card) written() (float64, error) {
	if err := command("sync", "-f", c.dir); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join("/sys/block", c.device, "stat"))
	if err != nil {
		return 0, fmt.Errorf("read the counters of %s: %w", c.device, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0, fmt.Errorf("the counters of %s are %q", c.device, text)
	}
	sectors, err := strconv.ParseFloat(fields[6], 64) // of 512 bytes (Documentation/block/stat.rst)
	return sectors * 512, err
}

func command(name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	return nil
}
