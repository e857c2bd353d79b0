package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInUse is a socket that belongs to a daemon that lives.
var ErrInUse = errors.New("another fieldgate runs here")

// socketMode lets root, the user of the daemon and its group connect.
const socketMode = 0o660

// A socket is a listener at a path that nobody else can take.
type socket struct {
	net.Listener
	path string
	lock *os.File // locked as long as the daemon lives, however it ends
}

// listen makes the socket at path. One that a dead daemon left is replaced, one
// of a living daemon is not (ErrInUse). The socket appears at path with the
// right mode, and listening: it is made under another name and renamed.
func listen(path string) (*socket, error) {
	lock, err := takeLock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l, err := bind(path)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return &socket{l, path, lock}, nil
}

// takeLock locks a file (flock(2)). The kernel gives the lock back when this
// process ends.
func takeLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	_ = lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrInUse
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// bind listens at path. The caller holds the lock, so the temporary name is
// nobody else's.
func bind(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, errors.New("there is a file of this name that is no socket")
	}
	fresh := path + ".new"
	_ = os.Remove(fresh) // of a daemon that died right here
	name, done, err := fit(fresh)
	if err != nil {
		return nil, err
	}
	defer done()
	lc := net.ListenConfig{Control: narrow}
	l, err := lc.Listen(context.Background(), "unix", name)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it gets another name
	err = os.Chmod(fresh, socketMode)             // whatever the umask took away
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// narrow lets bind make the file with no more than socketMode, so that nobody
// gets in before the umask's part is put right. The kernel takes the mode of the
// file from that of the socket (unix_bind).
func narrow(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), socketMode) })
	return errors.Join(err, failed)
}

// longest is what an address holds (unix(7)).
const longest = 107

// fit gives a name of path that is short enough for an address: for a long one,
// through the open folder. It is good until done is called.
func fit(path string) (name string, done func(), err error) {
	if len(path) <= longest {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// leave takes the socket away. It is still this daemon's: the lock is held.
func (s *socket) leave() {
	_ = s.Close() // closed by the server most often
	_ = os.Remove(s.path)
	_ = s.lock.Close()
}
