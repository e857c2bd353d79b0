package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/systemd"
)

// flushWithin bounds how long the end of a program waits for who reads its log.
const flushWithin = 2 * time.Second

// live is the life of a program, a daemon's or a tool's: run gets a context that SIGINT and SIGTERM end, and the
// standard streams; its result is the exit code. A reader of either stream that stands still or goes away never kills
// the program: see systemd.Stream and Output. What runs before or after it, a crash too, writes to standard error as ever.
func live(run func(ctx context.Context, c Console) int) {
	// Without it the runtime ends the process by SIGPIPE. It is not ignored, so that children get it as it was; nobody
	// reads the channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	errs, out := systemd.NewStream(os.Stderr), &Output{ctx: ctx, f: os.Stdout}
	log.SetOutput(errs) // of libraries
	code := run(ctx, Console{out, errs})
	switch err := outputError(out); {
	case errors.Is(err, ErrReaderGone):
		code = ExitReaderGone
	case err != nil && code == ExitOK:
		fmt.Fprintf(errs, "%s: %v\n", filepath.Base(os.Args[0]), err)
		code = ExitFailed
	}
	errs.Flush(flushWithin)
	os.Exit(code)
}

// ErrReaderGone is in the error of every write to an Output that nobody reads any more. It is no news: who reads has
// read enough.
var ErrReaderGone = errors.New("nobody reads it any more")

// ExitReaderGone is the exit code of a tool whose output nobody reads any more. It is what a shell says of a program
// that SIGPIPE ended. It is not 0: who looks at the code would believe a verdict that was never written.
const ExitReaderGone = 128 + int(syscall.SIGPIPE)

// An Output is the standard output of a command line tool. It waits for a reader that is slow, until the context is
// done. The first write that fails is its last.
type Output struct {
	ctx context.Context
	f   *os.File
	err error
}

// File is where the output ends.
func (o *Output) File() *os.File { return o.f }

// Write writes text, unless a write has failed before.
func (o *Output) Write(text []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() { // a write that nobody reads cannot be broken off: the end of the process does
		n, err := o.f.Write(text)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		if o.err = r.err; errors.Is(r.err, syscall.EPIPE) {
			o.err = fmt.Errorf("%w: %w", ErrReaderGone, r.err)
		}
		return r.n, o.err
	case <-o.ctx.Done():
		o.err = fmt.Errorf("write %s: nobody reads on: %w", o.f.Name(), o.ctx.Err())
		return 0, o.err
	}
}

// outputError is the first failure of a write to w, if it is an Output; nil: there was none.
func outputError(w io.Writer) error {
	if o, ok := w.(*Output); ok {
		return o.err
	}
	return nil
}
