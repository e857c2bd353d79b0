// Package durable changes files so that a power cut leaves them as they were
// or as they are to be, never in between.
//
// A new file is written under a temporary name, synced, renamed, and its folder
// synced. If power dies before the rename, the old file is there, and beside it
// perhaps a file that ends in ".tmp"; after the rename, the new one is there
// whole. Which of the two, nobody knows until the folder is synced: so each
// function returns only then.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile puts data at path with the given mode, whole or not at all, in the
// place of what was there. also, if it is not nil, is done to the new file
// before it gets its name, such as giving it an owner. After an error the old
// file is there as it was, unless the error is that of syncing the folder: then
// the new one is, and a power cut may bring the old one back. Several processes
// may write one path; the last one wins.
func WriteFile(path string, data []byte, mode fs.FileMode, also func(*os.File) error) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, name+"-*.tmp") // mode 0600: a secret is nobody else's from the first moment
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode))
	if also != nil {
		err = errors.Join(err, also(f))
	}
	// If power dies before this sync, the temporary file may hold anything.
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDir(dir)
}

// Rename gives a file that is synced another name, in the place of what has
// it.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		// The new name first: if power dies between, the file has both.
		return errors.Join(SyncDir(filepath.Dir(to)), SyncDir(filepath.Dir(from)))
	}
	return SyncDir(filepath.Dir(to))
}

// Remove deletes a file.
func Remove(path string) error {
	return errors.Join(os.Remove(path), SyncDir(filepath.Dir(path)))
}

// SyncFile makes what was written to a file durable, whoever wrote it.
func SyncFile(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("make %s durable: %w", path, err)
	}
	return nil
}

// SyncDir makes what was made, renamed and deleted in a folder durable.
func SyncDir(dir string) error { return SyncFile(dir) }
