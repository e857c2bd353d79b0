package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What describes a reader of the log may not be read, because it is root's: it
// is not taken for what a power failure left, and stays.
func TestDescriptionThatMayNotBeRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give its rights away")
	}
	dir := t.TempDir() // nobody else may look into it
	if described(dir) {
		t.Error("there is nothing, and it counts as described")
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "meta.inf"), []byte("{}"), 0o600),
		os.WriteFile(filepath.Join(dir, "meta.sum"), []byte("00"), 0o600)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	stays := described(dir)
	if err := unix.Setfsuid(0); err != nil {
		panic(err) // the thread must not be used any more
	}
	if !stays {
		t.Error("what may not be read counts as cut off by a power failure")
	}
}
