package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Keeping says what a power cut leaves of a folder.
type Keeping int

// What is known of a folder, from good to bad.
const (
	Durable  Keeping = iota // nothing is known that speaks against it
	Unknown                 // it cannot be told
	Volatile                // it lies in RAM, or writes are not waited for: a power cut costs all of it
)

// Where tells whether what is written to a folder outlives a power cut, by the
// mounts that this process sees, and if not why, as a part of a sentence: "in
// RAM (tmpfs)".
func Where(dir string) (Keeping, string) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Unknown, fmt.Sprintf("on a file system that cannot be told (%v)", err)
	}
	defer f.Close()
	mounts, err := readMounts(f)
	if err != nil {
		return Unknown, fmt.Sprintf("on a file system that cannot be told (%v)", err)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	w := look{mounts: mounts, seen: map[string]bool{}, same: sameFolder, inRAM: hasShapeOfRAM, sys: "/sys"}
	return w.folder(dir)
}

// A mount is one line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	device  string // major:minor
	root    string // of the file system, that the mount shows
	point   string
	kind    string
	source  string
	options []string // of the file system
}

func readMounts(from io.Reader) (all []mount, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20) // an overlay may have many layers
	for lines.Scan() {
		first, last, ok := strings.Cut(lines.Text(), " - ")
		a, b := strings.Fields(first), strings.Fields(last)
		if !ok || len(a) < 6 || len(b) < 3 {
			return nil, fmt.Errorf("a line of mountinfo that makes no sense: %q", lines.Text())
		}
		all = append(all, mount{device: a[2], root: unescaped(a[3]), point: unescaped(a[4]), kind: b[0],
			source: unescaped(b[1]), options: split(b[2])})
	}
	return all, lines.Err()
}

// unescape undoes the kernel's octal escapes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\054`, ",", `\072`, ":")

func unescaped(s string) string { return unescape.Replace(s) }

// split separates mount options; a comma in a value is escaped.
func split(options string) (all []string) {
	for option := range strings.SplitSeq(options, ",") {
		all = append(all, unescaped(option))
	}
	return all
}

// A look is one walk from a folder down to what it lies on.
type look struct {
	mounts []mount
	seen   map[string]bool
	same   func(a, b string) bool // whether b is a as it stands in an upper layer
	inRAM  func(dir string) bool  // whether an overlay has the size of a tmpfs
	sys    string
}

// of gives the mount that a folder is on: the one with the longest path and,
// of those at one place, the last.
func (l *look) of(dir string) (found *mount) {
	for i := range l.mounts {
		m := &l.mounts[i]
		if within(m.point, dir) && (found == nil || len(m.point) >= len(found.point)) {
			found = m
		}
	}
	return found
}

func within(point, dir string) bool {
	return point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
}

func (l *look) folder(dir string) (Keeping, string) {
	m := l.of(filepath.Clean(dir))
	if m == nil {
		return Unknown, "on a file system that is not among the mounts"
	}
	if l.seen[m.point+" "+m.kind] {
		return Unknown, fmt.Sprintf("on an overlay at %s whose upper layer cannot be found", m.point)
	}
	l.seen[m.point+" "+m.kind] = true
	switch m.kind {
	case "tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs":
		return Volatile, fmt.Sprintf("in RAM (%s at %s)", m.kind, m.point)
	case "overlay", "overlayfs", "aufs", "unionfs":
		return l.overlay(m, dir)
	}
	return l.device(m)
}

// overlay looks at the layer that takes the writes. Its path is that of
// whoever mounted it, and may be another place, or none, here.
func (l *look) overlay(m *mount, dir string) (Keeping, string) {
	upper, volatile := "", false
	for _, option := range m.options {
		name, value, _ := strings.Cut(option, "=")
		switch {
		case name == "upperdir":
			upper = value
		case name == "volatile", name == "fsync" && value == "volatile":
			volatile = true
		}
	}
	switch {
	case volatile:
		return Volatile, fmt.Sprintf("on an overlay at %s that does not wait for the card (mount option volatile)", m.point)
	case upper == "":
		return Unknown, fmt.Sprintf("on an overlay at %s that names no upper layer", m.point)
	}
	here, found := l.upperHere(m, dir, upper)
	switch {
	case !found && l.inRAM(dir):
		return Volatile, fmt.Sprintf("on an overlay at %s whose upper layer, %s, cannot be seen from here but has the size of one in RAM (tmpfs)",
			m.point, upper)
	case !found:
		return Unknown, fmt.Sprintf("on an overlay at %s whose upper layer, %s, cannot be seen from here", m.point, upper)
	}
	keeping, why := l.folder(here)
	if keeping != Durable {
		why = fmt.Sprintf("on an overlay at %s whose upper layer, %s, is %s", m.point, upper, why)
	}
	return keeping, why
}

// upperHere finds an upper layer by the path that it had when it was mounted,
// or where its file system was moved to since, as an initramfs does.
func (l *look) upperHere(m *mount, dir, upper string) (here string, found bool) {
	rest := filepath.Join(m.root, strings.TrimPrefix(dir, m.point))
	if filepath.IsAbs(upper) && l.same(dir, filepath.Join(upper, rest)) {
		return upper, true
	}
	for i := range l.mounts {
		for tail := upper; l.mounts[i].point != m.point; {
			if l.same(dir, filepath.Join(l.mounts[i].point, tail, rest)) {
				return filepath.Join(l.mounts[i].point, tail), true
			}
			_, after, more := strings.Cut(strings.TrimPrefix(tail, "/"), "/")
			if tail = after; !more {
				break
			}
		}
	}
	return "", false
}

// hasShapeOfRAM tells whether the figures of an overlay, which are those of its
// upper layer's file system, are of a tmpfs as it is mounted by default: as
// many inodes as half the pages of RAM, or as it has blocks of a page
// (shmem_default_max_inodes of the kernel). No file system on a card has these.
func hasShapeOfRAM(dir string) bool {
	var fs unix.Statfs_t
	var board unix.Sysinfo_t
	if unix.Statfs(dir, &fs) != nil || unix.Sysinfo(&board) != nil || fs.Files == 0 || int(fs.Bsize) != os.Getpagesize() {
		return false
	}
	pages := uint64(board.Totalram) * uint64(board.Unit) / uint64(os.Getpagesize())
	return fs.Files == pages/2 || fs.Files == fs.Blocks
}

// device looks at the block device under a file system: zram and /dev/ram* are
// RAM, also below others, and a loop device is what its file lies on.
func (l *look) device(m *mount) (Keeping, string) {
	link := filepath.Join(l.sys, "dev/block", m.device)
	if strings.HasPrefix(m.device, "0:") && strings.HasPrefix(m.source, "/dev/") { // btrfs and the like have no number of their own
		link = filepath.Join(l.sys, "class/block", filepath.Base(m.source))
	}
	return l.block(m, link, 0)
}

// deepest is how many block devices may stand on each other.
const deepest = 8

func (l *look) block(m *mount, link string, depth int) (Keeping, string) {
	folder, err := filepath.EvalSymlinks(link)
	if err != nil || depth > deepest {
		folder = m.source // no block device, as far as can be seen
	}
	name := filepath.Base(folder)
	if number, ram := strings.CutPrefix(name, "ram"); strings.HasPrefix(name, "zram") || ram && strings.Trim(number, "0123456789") == "" {
		return Volatile, fmt.Sprintf("in RAM (%s at %s is on %s)", m.kind, m.point, name)
	}
	if file, err := os.ReadFile(filepath.Join(folder, "loop/backing_file")); err == nil {
		return l.folder(filepath.Dir(strings.TrimSpace(string(file))))
	}
	below, _ := filepath.Glob(filepath.Join(folder, "slaves", "*")) // the pattern is sound
	for _, slave := range below {
		if keeping, why := l.block(m, slave, depth+1); keeping != Durable {
			return keeping, why
		}
	}
	return Durable, ""
}

// sameFolder tells whether upper is the upper layer of folder: the overlay
// shows its times. One that may not be looked into is believed; one that is
// not there is another's.
func sameFolder(folder, upper string) bool {
	var a, b unix.Stat_t
	err := unix.Stat(upper, &b)
	if errors.Is(err, fs.ErrPermission) {
		return true
	}
	return err == nil && unix.Stat(folder, &a) == nil && a.Mtim == b.Mtim && a.Ctim == b.Ctim
}
