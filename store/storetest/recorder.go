package storetest

import (
	"path/filepath"
	"strings"

	"github.com/fieldgate/fieldgate/store"
)

// PointOutside names what changed between two steps, outside of any. Nothing
// says when it is durable.
const PointOutside store.Point = "outside"

// A Recorded is a step that was taken, and the folder before and after.
type Recorded struct {
	store.Step // with paths in the folder
	Before     Dir
	After      Dir
}

// A Recorder is a Card that keeps the folder as it was before and after each
// step. It is used by one store at a time.
type Recorder struct {
	Root string         // the store's folder
	Emit func(Recorded) // called before the store learns that the step is done
	Off  bool           // steps are taken and not recorded

	last Dir
	err  error
}

// Do takes a step.
func (r *Recorder) Do(s store.Step, act func() error) error {
	if r.Off {
		return act()
	}
	before := r.Look()
	if err := act(); err != nil {
		return err
	}
	r.last = r.read()
	s.Path, s.To = r.in(s.Path), r.in(s.To)
	r.Emit(Recorded{Step: s, Before: before, After: r.last})
	return nil
}

// Look records what changed since the last step, and gives the folder as it
// is.
func (r *Recorder) Look() Dir {
	now := r.read()
	if r.last != nil && len(changed(r.last, now)) > 0 {
		r.Emit(Recorded{Step: store.Step{Point: PointOutside}, Before: r.last, After: now})
	}
	r.last = now
	return now
}

// Begin forgets what was before: the folder is another one now.
func (r *Recorder) Begin() { r.last = nil }

// Err is the first error of reading the folder.
func (r *Recorder) Err() error { return r.err }

func (r *Recorder) read() Dir {
	d, err := ReadDir(r.Root, r.last)
	if err != nil && r.err == nil {
		r.err = err
	}
	return d
}

// in gives a path in the folder.
func (r *Recorder) in(path string) string {
	name, err := filepath.Rel(r.Root, path)
	if path == "" || err != nil || strings.HasPrefix(name, "..") {
		return path
	}
	return name
}

// changed names the files and folders that differ.
func changed(a, b Dir) (names []string) {
	for name, content := range a {
		if other, there := b[name]; !there || !same(content, other) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

// same tells whether two contents are one: those that did not change are
// shared.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
