package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every error number has a kind, also wrapped and joined; what is no error
// number has none.
func TestTroubleOf(t *testing.T) {
	for errno := unix.Errno(1); errno < 134; errno++ {
		if TroubleOf(fmt.Errorf("open: %w", &fs.PathError{Op: "open", Path: "/x", Err: errno})) == None {
			t.Errorf("%v (%d) has no kind", errno, int(errno))
		}
	}
	for errno, want := range map[unix.Errno]Trouble{
		unix.EBADMSG: FileSystem, unix.EUCLEAN: FileSystem, unix.EIO: Device, unix.EMFILE: Shortage, unix.ENFILE: Shortage, unix.ENOMEM: Shortage,
		unix.ESTALE: Remote, unix.ENOTDIR: Shape, unix.ELOOP: Shape, unix.EACCES: Denied, unix.EPERM: Denied, unix.EROFS: ReadOnly,
		unix.ENOSPC: Full, unix.EDQUOT: Full, unix.ENOENT: Missing, unix.ERANGE: Other,
	} {
		if got := TroubleOf(errors.Join(errors.New("first"), fmt.Errorf("open: %w", errno))); got != want {
			t.Errorf("%v is %q, want %q", errno, got, want)
		}
	}
	if got := TroubleOf(errors.New("wrong checksum")); got != None {
		t.Errorf("a wrong checksum is %q", got)
	}
	if got := TroubleOf(nil); got != None {
		t.Errorf("no error is %q", got)
	}
}

// Every kind is told with the file and something to do.
func TestExplain(t *testing.T) {
	for errno := range numbers {
		said := Explain("/srv/store/journal", errno)
		if !strings.Contains(said, "/srv/store/journal") && TroubleOf(errno) != Denied || strings.HasSuffix(said, ".") || len(said) < 40 {
			t.Errorf("%v: %s", errno, said)
		}
	}
	path := filepath.Join(t.TempDir(), "journal")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, os.Geteuid(), -1)); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{path: path + " may not be used by", "/proc/1/none/file": "/proc/1"} {
		said := Explain("", &fs.PathError{Op: "open", Path: at, Err: unix.EACCES})
		if !strings.Contains(said, want) || !strings.Contains(said, "belongs to ") ||
			!strings.Contains(said, "mode 0") && !strings.Contains(said, "mode is 0") {
			t.Errorf("%s: %s", at, said)
		}
	}
	if said := Explain("/x", errors.New("wrong checksum")); said != "wrong checksum" {
		t.Errorf("an error that is not the kernel's: %s", said)
	}
}
