package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Trouble is a kind of reason why the kernel refuses a file.
type Trouble string

// The kinds. The empty one is an error that is not the kernel's.
const (
	None       Trouble = ""
	Missing    Trouble = "missing"     // the file, or a folder above it, is not there
	Denied     Trouble = "denied"      // owner or mode forbid it
	ReadOnly   Trouble = "read-only"   // the file system takes no writes
	Full       Trouble = "full"        // no space, no inode, or a quota
	Shortage   Trouble = "shortage"    // this process or the machine is short of memory or open files
	Device     Trouble = "device"      // the device under the file system does not answer as it should
	FileSystem Trouble = "file system" // the file system found its own books wrong
	Remote     Trouble = "remote"      // a network file system lost its server or the file
	Shape      Trouble = "shape"       // something else stands where a file or folder should be
	Other      Trouble = "other"       // any other error number
)

// numbers sorts error numbers (errno(3)) into kinds.
var numbers = map[unix.Errno]Trouble{
	unix.ENOENT: Missing,
	unix.EACCES: Denied, unix.EPERM: Denied,
	unix.EROFS:  ReadOnly,
	unix.ENOSPC: Full, unix.EDQUOT: Full,
	unix.EMFILE: Shortage, unix.ENFILE: Shortage, unix.ENOMEM: Shortage, unix.EAGAIN: Shortage, unix.ENOBUFS: Shortage, unix.ENOLCK: Shortage,
	unix.EIO: Device, unix.ENXIO: Device, unix.ENODEV: Device, unix.ENOMEDIUM: Device, unix.EREMOTEIO: Device, unix.EILSEQ: Device,
	unix.EBADMSG: FileSystem, unix.EUCLEAN: FileSystem, unix.ESHUTDOWN: FileSystem,
	unix.ESTALE: Remote, unix.ENOTCONN: Remote, unix.ETIMEDOUT: Remote, unix.EHOSTDOWN: Remote,
	unix.EHOSTUNREACH: Remote, unix.ECONNREFUSED: Remote,
	unix.ENOTDIR: Shape, unix.ELOOP: Shape, unix.EISDIR: Shape, unix.ENAMETOOLONG: Shape, unix.EEXIST: Shape,
}

// TroubleOf classifies an error by the error number in it.
func TroubleOf(err error) Trouble {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return None
	}
	if t, known := numbers[errno]; known {
		return t
	}
	return Other
}

// Explain says why path, or what the error itself names, could not be used and
// what to do, in a sentence without its full stop. Of errors that are not the
// kernel's it gives the text.
func Explain(path string, err error) string {
	var errno unix.Errno
	_ = errors.As(err, &errno) // TroubleOf looks at the outcome
	var named *fs.PathError
	if errors.As(err, &named) && filepath.IsAbs(named.Path) {
		path = named.Path
	}
	switch TroubleOf(err) {
	case None:
		return err.Error()
	case Denied:
		return denied(path, errno)
	case Missing:
		return fmt.Sprintf("%s is not there; if it lies on a card or disk of its own, mount that", path)
	case ReadOnly:
		return fmt.Sprintf("the file system of %s is read-only; "+
			"look into the kernel's log (dmesg) for the reason, and replace a card that became read-only by itself", path)
	case Full:
		return fmt.Sprintf("the file system of %s is full; delete what is not needed (df -h, df -i)", path)
	case Shortage:
		return fmt.Sprintf("%s cannot be opened now: the system is short of memory or of open files (%v); "+
			"look at free -m and at the unit's LimitNOFILE", path, errno)
	case Device:
		return fmt.Sprintf("the card or disk under %s does not give it (%v); "+
			"look into the kernel's log (dmesg), check the contacts, make a copy and replace the card", path, errno)
	case FileSystem:
		return fmt.Sprintf("the file system of %s is inconsistent (%v); stop the service, unmount it and run fsck", path, errno)
	case Remote:
		return fmt.Sprintf("the network file system of %s does not answer (%v); look at its server and mount it again", path, errno)
	case Shape:
		return fmt.Sprintf("something else stands in the place of %s (%v); move it away", path, errno)
	}
	return fmt.Sprintf("%s cannot be used (%v)", path, errno)
}

// denied names the owner of what denies access: the file, or the folder above
// that may not be searched.
func denied(path string, errno unix.Errno) string {
	at, info, err := path, fs.FileInfo(nil), error(nil)
	for info, err = os.Stat(at); err != nil && at != filepath.Dir(at); info, err = os.Stat(at) {
		at = filepath.Dir(at)
	}
	self := name(os.Geteuid())
	st, ok := syscallStat(info)
	if err != nil || !ok {
		return fmt.Sprintf("%s may not be used by %s (%v)", path, self, errno)
	}
	if int(st.Uid) == os.Geteuid() {
		return fmt.Sprintf("%s may not be used by %s (%v): its mode is %04o, and it belongs to %s; give its owner the right to read and write",
			at, self, errno, info.Mode().Perm(), name(int(st.Uid)))
	}
	return fmt.Sprintf("%s belongs to %s (mode %04o) and may not be used by %s (%v); run: sudo chown -R %s %s",
		at, name(int(st.Uid)), info.Mode().Perm(), self, errno, self, at)
}

func syscallStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}

// name gives a user's name, or the number where there is none.
func name(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}
