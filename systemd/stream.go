package systemd

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// streamMost bounds what waits for a reader, in bytes. It takes the lines of several minutes of trouble.
const streamMost = 512 << 10

// A Stream is where a program writes for people: its log, or what it shows on a terminal. Writing to it never waits,
// never fails and never ends the process, whatever the reader does: what is written waits in a bounded queue, and one
// goroutine takes it to the file while there is something to take. What the queue has no room for, and what the file
// refuses, is lost and counted; when the reader is back, a line says how many lines it was.
//
// What the Go runtime says of a crash does not go this way, but straight to the file.
type Stream struct {
	f     *os.File
	fd    int
	empty *sync.Cond // on mu; nothing waits and nobody writes any more

	mu      sync.Mutex
	told    func(lost uint64) []byte // the line that tells of lost lines
	waiting []chunk
	bytes   int    // of what waits
	dropped uint64 // lines, since the last one that found room
	lost    uint64 // lines, since the start
	writing bool   // there is a writer
	pending uint64 // lost lines of which the reader does not know; owned by the writer
	torn    bool   // the file took half a line; owned by the writer
}

// A chunk is what one Write gave.
type chunk struct {
	text []byte
	lost uint64 // lines lost right before it
}

// NewStream makes a stream to f, which stays the caller's to close.
func NewStream(f *os.File) *Stream {
	s := &Stream{f: f, fd: int(f.Fd()), told: func(lost uint64) []byte { return []byte(lostSentence(lost) + "\n") }}
	s.empty = sync.NewCond(&s.mu)
	return s
}

// lostSentence is what the reader is told when it is back.
func lostSentence(n uint64) string {
	if n == 1 {
		return "1 log line was lost"
	}
	return fmt.Sprintf("%d log lines were lost", n)
}

// TellLost has lost lines told by line, in the form of a log; as a sentence without it.
func (s *Stream) TellLost(line func(sentence string) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = func(lost uint64) []byte { return line(lostSentence(lost)) }
}

// File is where the stream ends.
func (s *Stream) File() *os.File { return s.f }

// Write puts text into the queue and returns at once; the error is always nil. A text without room is lost whole.
func (s *Stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Once something is lost, the next has to wait until there is room for more than one line: else a reader that
	// takes a line now and then would read of nothing but lost ones.
	most := streamMost
	if s.dropped > 0 {
		most /= 2
	}
	if s.bytes+len(text) > most {
		s.dropped += lines(text)
		s.lost += lines(text)
		return len(text), nil
	}
	s.waiting = append(s.waiting, chunk{bytes.Clone(text), s.dropped})
	s.bytes, s.dropped = s.bytes+len(text), 0
	if !s.writing {
		s.writing = true
		go s.write()
	}
	return len(text), nil
}

// Lost is how many lines were lost since the start.
func (s *Stream) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Flush waits until everything has been written, or was refused, but not longer than within. It is for the end of the
// process.
func (s *Stream) Flush(within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := false
	timer := time.AfterFunc(within, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.empty.Broadcast()
	})
	defer timer.Stop()
	for s.writing && !late {
		s.empty.Wait()
	}
}

// write takes to the file what waits, and ends when nothing does.
func (s *Stream) write() {
	for {
		c, some := s.next()
		if !some {
			return
		}
		s.pending += c.lost
		if s.pending > 0 && s.put(s.tidings()) {
			s.pending = 0
		}
		if len(c.text) > 0 && !s.put(c.text) {
			n := lines(c.text)
			s.pending += n
			s.mu.Lock()
			s.lost += n
			s.mu.Unlock()
		}
	}
}

// tidings is the line that tells of what is pending.
func (s *Stream) tidings() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told(s.pending)
}

// next gives what is to be written next; without anything the writer is none any more.
func (s *Stream) next() (c chunk, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 && s.dropped == 0 {
		s.writing = false
		s.empty.Broadcast()
		return c, false
	}
	if len(s.waiting) == 0 { // the newest were lost, and there is room to say so
		c.lost, s.dropped = s.dropped, 0
		return c, true
	}
	c = s.waiting[0]
	s.waiting[0] = chunk{}
	s.waiting = s.waiting[1:]
	s.bytes -= len(c.text)
	return c, true
}

// put writes text with one system call if the file takes it so, and reports whether it took all. It goes around
// os.File, which ends the process when a reader of stderr is gone (EPIPE).
func (s *Stream) put(text []byte) bool {
	if s.torn {
		text = append([]byte{'\n'}, text...)
	}
	for all := len(text); len(text) > 0; {
		n, err := unix.Write(s.fd, text)
		if n > 0 {
			text = text[n:]
		}
		switch {
		case err == nil, err == unix.EINTR:
		case err == unix.EAGAIN: // somebody else made the file one that does not wait
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, -1)
		default:
			s.torn = s.torn || len(text) < all
			return false
		}
	}
	s.torn = false
	return true
}

// lines is how many lines a text is, at least one.
func lines(text []byte) uint64 {
	return uint64(max(1, bytes.Count(text, []byte{'\n'})))
}
