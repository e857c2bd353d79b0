package storetest

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Dir is a folder in memory: the content of every file under its path in
// the folder. The path of a folder in it ends in a slash. Contents are shared
// between Dirs and never changed.
type Dir map[string][]byte

// ReadDir reads a folder. Files whose content is that in like share it. The
// lock is left out: nothing in it counts.
func ReadDir(root string, like Dir) (Dir, error) {
	d := Dir{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root || entry.Name() == "lock" {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			d[name+"/"] = nil
			return nil
		}
		if d[name], err = os.ReadFile(path); err != nil {
			return err
		}
		if old, there := like[name]; there && bytes.Equal(old, d[name]) {
			d[name] = old
		}
		return nil
	})
	return d, err
}

// with gives a copy in which a file has another content.
func (d Dir) with(name string, content []byte) Dir {
	other := d.without()
	other[name] = content
	return other
}

// without gives a copy that lacks some files.
func (d Dir) without(names ...string) Dir {
	other := make(Dir, len(d))
	for name, content := range d {
		other[name] = content
	}
	for _, name := range names {
		delete(other, name)
	}
	return other
}

// Write makes the folder, which must not be there. Pages of zeros become
// holes, which costs less.
func (d Dir) Write(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	for name := range d {
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
				return err
			}
		}
	}
	for name, content := range d {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := writeSparse(filepath.Join(root, name), content); err != nil {
			return err
		}
	}
	return nil
}

const page = 4096

var zeros [page]byte

func writeSparse(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(content))); err != nil { // to its length first: what is not written is a hole
		return err
	}
	for at := 0; at < len(content); {
		end := at
		for end < len(content) && !isZero(content[end:min(end+page, len(content))]) {
			end = min(end+page, len(content))
		}
		if _, err := f.WriteAt(content[at:end], int64(at)); err != nil && err != io.EOF {
			return err
		}
		at = end + page // the page that ended the run is zeros
	}
	return nil
}

func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
