package main

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/systemd"
)

// A screen is what the demo shows: text, log lines and a progress bar below
// them, which no line is written over. None of it waits for a reader.
type screen struct {
	out, err *systemd.Stream // the same one where both are the same terminal
	terminal bool            // out is one

	mu  sync.Mutex
	bar string // drawn now; "": none
}

func newScreen(c cli.Console) *screen {
	s := &screen{err: c.Stream()}
	out := os.Stdout
	if o, ok := c.Out.(*cli.Output); ok {
		out = o.File()
	}
	s.terminal = isTerminal(out)
	if s.out = s.err; !s.terminal || !sameDevice(out, s.err.File()) {
		s.out = systemd.NewStream(out)
	}
	return s
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// sameDevice tells whether two files are one terminal.
func sameDevice(a, b *os.File) bool {
	var x, y unix.Stat_t
	return unix.Fstat(int(a.Fd()), &x) == nil && unix.Fstat(int(b.Fd()), &y) == nil && x.Rdev == y.Rdev && x.Rdev != 0
}

// Write shows text above the bar.
func (s *screen) Write(text []byte) (int, error) { return s.above(s.out, text) }

// log is where log lines go: to standard error, above the bar.
func (s *screen) log() io.Writer { return logLines{s} }

type logLines struct{ *screen }

func (l logLines) Write(line []byte) (int, error) { return l.above(l.err, line) }

// above writes lines where the bar is, and the bar anew below them.
func (s *screen) above(to *systemd.Stream, text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != "" && to == s.out {
		return to.Write([]byte("\r\x1b[K" + string(text) + s.bar))
	}
	return to.Write(text)
}

// draw shows a bar in the place of the one before; "": none.
func (s *screen) draw(bar string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar = bar
	_, _ = s.out.Write([]byte("\r" + bar + "\x1b[K")) // never fails
}

// end waits a moment for who reads what is left.
func (s *screen) end() { s.out.Flush(time.Second) }
