package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// errDamaged is a file that bbolt cannot make sense of.
var errDamaged = errors.New("damaged file")

// guarded runs fn, which uses bbolt, and turns panics and memory faults of
// this goroutine into errDamaged.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return fn()
}

// isDamage tells a file that makes no sense, or is not there, from one that
// could not be read just now: an error number of the kernel proves no damage.
func isDamage(err error) bool {
	switch files.TroubleOf(err) {
	case files.None:
		return err != nil && !errors.Is(err, berrors.ErrTimeout) && !errors.Is(err, ErrClosed)
	case files.Missing:
		return true
	}
	return false
}

// IsDamage tells an error that says that a file of the store makes no sense.
func IsDamage(err error) bool { return isDamage(err) }

// proven looks again, with plain reads, at a file that seems damaged: bbolt
// reads through memory, where a card that does not give a page back looks like
// a page that makes no sense. The error is that of reading, if there is one,
// else the one given.
func proven(path string, err error) error {
	if !isDamage(err) {
		return err
	}
	f, open := os.Open(path)
	if open != nil {
		return cmp.Or(unreadable(open), err)
	}
	defer f.Close()
	_, read := io.Copy(io.Discard, f)
	return cmp.Or(unreadable(read), err)
}

// unreadable gives the error if it is one of reading, nil if it is damage or
// none.
func unreadable(err error) error {
	if err == nil || isDamage(err) {
		return nil
	}
	return err
}
