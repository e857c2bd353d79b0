package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Most of one file, in bytes.
const (
	MostLine = 4 << 10 // of a file with one line: a token, an address
	MostPEM  = 1 << 20 // of certificates and keys; a system's bundle has some 250 KiB
)

// What stands at a path is not a file that this program reads.
var (
	ErrKind = errors.New("not a regular file") // a folder, a FIFO, a device, a socket
	ErrSize = errors.New("too large")
	ErrText = errors.New("not plain text in UTF-8")
	ErrMode = errors.New("others than its owner may read it")
	ErrLink = errors.New("a link that leads nowhere") // never fs.ErrNotExist: somebody did put it there
)

// Read gives the contents of the regular file at path, at most most bytes. It
// opens nothing else, so it waits for no writer and no device. The error says
// what stands there instead, and wraps ErrKind, ErrLink, ErrSize, or what the
// system says (fs.ErrNotExist, fs.ErrPermission, …).
func Read(path string, most int64) ([]byte, error) {
	data, _, err := read(path, most)
	return data, err
}

func read(path string, most int64) (data []byte, mode fs.FileMode, err error) {
	// Looked at first: opening a device can already do something, such as
	// starting a watchdog.
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, notThere(path, err)
	}
	if err := regular(path, info); err != nil {
		return nil, 0, err
	}
	// Another file may have taken its place meanwhile: O_NONBLOCK waits for no
	// writer of a FIFO, and what was opened is looked at again.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, notThere(path, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, 0, err
	}
	if err := regular(path, info); err != nil {
		return nil, 0, err
	}
	// One more than allowed: the size in info may be 0 (/proc) or grow.
	data, err = io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(data)) > most {
		return nil, 0, fmt.Errorf("%s is %w: at most %d bytes are read", path, ErrSize, most)
	}
	return data, info.Mode(), nil
}

var kinds = map[fs.FileMode]string{
	fs.ModeDir: "a folder", fs.ModeNamedPipe: "a FIFO", fs.ModeSocket: "a socket",
	fs.ModeDevice: "a device", fs.ModeDevice | fs.ModeCharDevice: "a device",
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	kind := kinds[info.Mode().Type()]
	if kind == "" {
		kind = "something else"
	}
	return fmt.Errorf("%s is %s, %w", path, kind, ErrKind)
}

// notThere says of a link what it leads to: the name that is looked for is
// there, so "no such file" alone would be a riddle.
func notThere(path string, err error) error {
	if to, lerr := os.Readlink(path); lerr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is %w: %s is not there", path, ErrLink, to)
	}
	return err
}

// Text gives the contents of a text file as UTF-8 without its byte order mark.
func Text(path string, most int64) ([]byte, error) {
	data, err := Read(path, most)
	if err != nil {
		return nil, err
	}
	return plain(path, data)
}

const bom = "\xef\xbb\xbf"

// plain takes a byte order mark away, and refuses what is no UTF-8. The error
// repeats nothing of the contents.
func plain(path string, data []byte) ([]byte, error) {
	data = bytes.TrimPrefix(data, []byte(bom))
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return nil, fmt.Errorf("%s is %w but in UTF-16, which some editors call Unicode: save it as UTF-8", path, ErrText)
	case bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Errorf("%s is %w: it holds zero bytes; if an editor saved it as UTF-16 or UTF-32, save it as UTF-8", path, ErrText)
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%s is %w: line %d holds bytes of another encoding; save it as UTF-8", path, ErrText, badLine(data))
	}
	return data, nil
}

// badLine gives the number of the first line, from 1, that is not UTF-8.
func badLine(data []byte) int {
	n := 1
	for line := range bytes.Lines(data) {
		if !utf8.Valid(line) {
			break
		}
		n++
	}
	return n
}

// Line gives the one line of a file: without a byte order mark, without blank
// lines around it, without spaces at its ends, whatever ends its lines. A file
// with nothing in it gives "". Two lines are refused: which one is meant?
func Line(path string) (string, error) {
	data, err := Text(path, MostLine)
	if err != nil {
		return "", err
	}
	return line(path, data)
}

// Secret is Line of a file that must be its owner's alone.
func Secret(path string) (string, error) {
	data, err := Owned(path, MostLine)
	if err != nil {
		return "", err
	}
	return line(path, data)
}

// Owned is Text of a file that must be its owner's alone: of mode 0600 or
// less. Else the error wraps ErrMode and tells the command that mends it.
func Owned(path string, most int64) ([]byte, error) {
	data, mode, err := read(path, most)
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is not used, because %w (mode %04o): chmod 600 %s", path, ErrMode, mode.Perm(), path)
	}
	return plain(path, data)
}

func line(path string, data []byte) (string, error) {
	text := strings.TrimSpace(string(data))
	if n := len(strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })); n > 1 {
		return "", fmt.Errorf("%s has %d lines; it must have one", path, n)
	}
	return text, nil
}
