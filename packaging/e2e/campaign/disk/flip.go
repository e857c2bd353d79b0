package disk

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

var blockLine = regexp.MustCompile(`located at block (\d+), offset 0x([0-9a-f]+)`)

// checksumAt is where the lower half of an inode's checksum lies in it
// (ext4.rst "Inode Table": l_i_checksum_lo).
const checksumAt = 0x7c

// Flip makes the checksum of a file's or folder's inode wrong, on a card that
// is not inserted, and tells where. What has no such file is left as it is.
func (c *Card) Flip(path string) (string, error) {
	out, err := exec.Command("debugfs", "-R", "imap /"+path, c.image).Output()
	if err != nil {
		return "", fmt.Errorf("debugfs: %w", err)
	}
	at := blockLine.FindSubmatch(out)
	if at == nil {
		return "/" + path + " is not there", nil
	}
	block, err := strconv.ParseInt(string(at[1]), 10, 64)
	if err != nil {
		return "", err
	}
	offset, err := strconv.ParseInt(string(at[2]), 16, 64)
	if err != nil {
		return "", err
	}
	size, err := c.blockSize()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(c.image, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b [1]byte
	where := block*size + offset + checksumAt
	if _, err := f.ReadAt(b[:], where); err != nil {
		return "", err
	}
	b[0] ^= 0x55
	_, err = f.WriteAt(b[:], where)
	return "of /" + path, err
}

// blockSize is log2(size) - 10, at byte 24 of the superblock.
func (c *Card) blockSize() (int64, error) {
	f, err := os.Open(c.image)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], 1024+24)
	return 1024 << b[0], err
}
