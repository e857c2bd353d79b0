package files

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// A Renewed value comes from files that other programs put in place anew, by renaming, by writing or by turning a
// link. What cannot be taken, because it is half written or does not fit together yet, leaves the value as it was.
// Its methods may be called from any goroutine.
type Renewed[T any] struct {
	what  string
	files []string
	read  func() (T, error)
	log   *slog.Logger

	mu     sync.Mutex
	value  T
	held   bool
	seen   []byte // a hash of what the files held at the last look
	failed error  // of the last look
}

// Renew gives what comes from files, by read, for people: "the certificate of this server". Nothing is read yet.
func Renew[T any](what string, files []string, read func() (T, error), log *slog.Logger) *Renewed[T] {
	return &Renewed[T]{what: what, files: files, read: read, log: log}
}

// Look reads the files if they have changed, and gives the newest value that could be taken; an error only if there
// never was one. What cannot be taken is told to the log once, and so is what is taken in the place of something else.
func (r *Renewed[T]) Look() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.fingerprint()
	if r.seen != nil && bytes.Equal(now, r.seen) {
		return r.resultLocked()
	}
	var value T
	// Who reads may make what is missing, but only at first: later a file that is missing is about to come.
	if err == nil || !r.held {
		value, err = r.read()
	}
	if !r.held && err == nil {
		now, err = r.fingerprint() // of what was made
	}
	switch {
	case err == nil && r.held:
		r.log.Info(r.what+" was renewed and is used from now on", "files", r.files)
	case err != nil && r.held && r.failed == nil:
		r.log.Warn(r.what+" has changed and cannot be taken; what was there before is used, and the files are looked at again",
			"files", r.files, "error", err)
	}
	if r.failed = err; err == nil {
		r.value, r.held = value, true
	}
	r.seen = now
	return r.resultLocked()
}

func (r *Renewed[T]) resultLocked() (T, error) {
	if r.held {
		return r.value, nil
	}
	return r.value, r.failed
}

// fingerprint changes when what the files hold does. Files that cannot be read have one too.
func (r *Renewed[T]) fingerprint() (sum []byte, unreadable error) {
	hash := sha256.New()
	for _, path := range r.files {
		data, err := Read(path, MostPEM)
		unreadable = errors.Join(unreadable, err)
		fmt.Fprintf(hash, "%d %v ", len(data), err)
		hash.Write(data)
	}
	return hash.Sum(nil), unreadable
}
