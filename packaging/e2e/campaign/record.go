package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
)

// A recorder writes the evidence down while it comes.
type recorder struct {
	dir string

	mu    sync.Mutex
	files map[string]*os.File
	bufs  map[string]*bufio.Writer
	err   error
}

func newRecorder(dir string) (*recorder, error) {
	return &recorder{dir: dir, files: map[string]*os.File{}, bufs: map[string]*bufio.Writer{}}, os.MkdirAll(dir, 0o755)
}

// note adds a line to one of the files of the evidence.
func (r *recorder) note(file string, line any) {
	text, err := json.Marshal(line)
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.bufs[file]
	if w == nil {
		f, cerr := os.Create(filepath.Join(r.dir, file))
		w = bufio.NewWriterSize(f, 1<<16)
		r.files[file], r.bufs[file] = f, w
		err = errors.Join(err, cerr)
	}
	_, werr := w.Write(append(text, '\n'))
	r.err = errors.Join(r.err, err, werr)
}

// close writes what is left, and tells whether all was written.
func (r *recorder) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, w := range r.bufs {
		r.err = errors.Join(r.err, w.Flush(), r.files[name].Close())
	}
	return r.err
}

// run writes what was tried.
func (r *recorder) run(run judge.Run) error {
	text, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, judge.RunFile), append(text, '\n'), 0o644)
}
