package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody calls do with the rights of nobody on files; the thread has its own
// again when it returns.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give its rights away")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setfsuid(0); err != nil {
			panic(err)
		}
	}()
	do()
}

// A folder that everybody may write to, with files that are root's alone.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "identity-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What an enrolment sent cannot be read, because it is root's: it is not
// replaced by another request, which would be another identity.
func TestRequestThatMayNotBeRead(t *testing.T) {
	e := Enrolment{Token: onceToken, Certificate: true, Dir: openFolder(t)}
	first, err := e.request()
	if err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() { _, err = e.request() })
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "belongs to root") {
		t.Errorf("it says: %v", err)
	}
	again, err := e.request()
	if err != nil || again.CSR != first.CSR || again.InstallID != first.InstallID {
		t.Errorf("another request was made (%v)", err)
	}
}

// A credential that cannot be read is no damaged one: the words tell its owner
// and the remedy, a seed does not take its place, and it is shown when it can
// be read again.
func TestCredentialThatMayNotBeRead(t *testing.T) {
	dir := openFolder(t)
	if err := save(filepath.Join(dir, File), contents{Keys: []key{{Token: "fg1_g_present"}}}); err != nil {
		t.Fatal(err)
	}
	k := New(Options{Dir: dir, Seed: func() (string, error) { return "fg1_g_seed", nil }})
	var err error
	asNobody(t, func() { _, _, err = k.Show() })
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "belongs to root") {
		t.Errorf("it says: %v", err)
	}
	if held, err := load(filepath.Join(dir, File)); err != nil || len(held.Keys) != 1 || held.Keys[0].Token != "fg1_g_present" {
		t.Errorf("the file holds %+v (%v)", held, err)
	}
}
