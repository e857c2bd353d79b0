package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// holds says that a folder has these files, with these contents, and no others.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if wanted, known := want[e.Name()]; err != nil || !known || string(text) != wanted {
			t.Errorf("%s holds %q (%v), want %q", e.Name(), text, err, wanted)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %d", len(entries), len(want))
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, c := range []struct {
		data string
		mode fs.FileMode
	}{{"one", 0o600}, {"another", 0o644}, {"", 0o600}} {
		if err := WriteFile(path, []byte(c.data), c.mode, nil); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, map[string]string{"f": c.data})
		if info, err := os.Stat(path); err != nil || info.Mode() != c.mode {
			t.Errorf("mode %v (%v), want %v", info.Mode(), err, c.mode)
		}
	}
}

func TestWriteFileInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteFile("f", []byte("one"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	holds(t, ".", map[string]string{"f": "one"})
}

// What fails leaves the old file, and nothing beside it.
func TestWriteFileThatFails(t *testing.T) {
	dir := t.TempDir()
	path, failed := filepath.Join(dir, "f"), errors.New("no such owner")
	if err := WriteFile(path, []byte("one"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, []byte("another"), 0o600, func(f *os.File) error {
		if filepath.Dir(f.Name()) != dir {
			t.Errorf("the temporary file is %s; only in %s can it be renamed", f.Name(), dir)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("the error is %v", err)
	}
	holds(t, dir, map[string]string{"f": "one"})
	if err := WriteFile(filepath.Join(dir, "none", "f"), nil, 0o600, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), []byte("x"), 0o600, nil); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := os.Remove(filepath.Join(dir, "folder")); err != nil {
		t.Error(err)
	}
	holds(t, dir, map[string]string{"f": "one"})
}

func TestRenameAndRemove(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	a, b, c := filepath.Join(from, "a"), filepath.Join(from, "b"), filepath.Join(to, "c")
	if err := WriteFile(a, []byte("one"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Rename(a, b), Rename(b, c)); err != nil {
		t.Fatal(err)
	}
	holds(t, from, nil)
	holds(t, to, map[string]string{"c": "one"})
	if err := Remove(c); err != nil {
		t.Fatal(err)
	}
	holds(t, to, nil)
	for what, err := range map[string]error{"rename": Rename(a, b), "remove": Remove(a), "sync": SyncFile(a)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of a file that is not there: %v", what, err)
		}
	}
}
