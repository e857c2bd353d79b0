// Package sysfs reads the files in which the kernel shows devices, and finds
// devices among them. It is what the drivers hwmon, iio, w1 and thermal share.
package sysfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxInterrupted bounds how often a read that a signal ended is begun again.
const maxInterrupted = 10

// ErrEmpty is a file without anything in it.
var ErrEmpty = errors.New("the file is empty")

var errLong = errors.New("the file is longer than it should be")

// Read reads a whole file into buf, and gives it without the white space at
// its ends. A file that does not fit into buf, or holds nothing, is an error.
func (h *Hand) Read(file string, buf []byte) ([]byte, error) {
	if err := h.enter(file); err != nil {
		return nil, err
	}
	n, err := read(file, buf)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	text := bytes.TrimSpace(buf[:n])
	if len(text) == 0 {
		return nil, fmt.Errorf("read %s: %w", file, ErrEmpty)
	}
	return text, nil
}

// read opens the file each time: the kernel may have put another one there.
func read(file string, buf []byte) (n int, err error) {
	fd, err := open(file)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	for interrupted := 0; n < len(buf); {
		got, err := unix.Read(fd, buf[n:])
		switch {
		case errors.Is(err, unix.EINTR) && interrupted < maxInterrupted:
			interrupted++ // the chip's driver waited, and a signal came
		case err != nil:
			return 0, err
		case got == 0:
			return n, nil
		default:
			n += got
		}
	}
	return 0, errLong
}

func open(file string) (fd int, err error) {
	for range maxInterrupted {
		if fd, err = unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// Number reads a file that holds one decimal number.
func (h *Hand) Number(file string) (float64, error) {
	var buf [64]byte
	text, err := h.Read(file, buf[:])
	if err != nil {
		return 0, err
	}
	v, ok := Decimal(text)
	if !ok {
		return 0, fmt.Errorf("read %s: %q is not a number", file, string(text))
	}
	return v, nil
}

// Text reads a file that holds a name.
func (h *Hand) Text(file string) (string, error) {
	var buf [256]byte
	text, err := h.Read(file, buf[:])
	return string(text), err
}

// Optional reads a file that holds a name; "" if there is no such file.
func (h *Hand) Optional(file string) (string, error) {
	text, err := h.Text(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrEmpty) {
		return "", nil
	}
	return text, err
}

// maxExact is how many decimal digits a float64 holds without rounding.
const maxExact = 15

// Decimal reads [+-]digits[.digits], as the kernel writes numbers, and nothing
// else: no exponent, no unit behind it, no second number.
func Decimal(text []byte) (float64, bool) {
	digits, point, mantissa := 0, -1, int64(0)
	body := text
	if len(body) > 0 && (body[0] == '-' || body[0] == '+') {
		body = body[1:]
	}
	for i, c := range body {
		switch {
		case c >= '0' && c <= '9':
			digits++
			mantissa = mantissa*10 + int64(c-'0')
		case c == '.' && point < 0 && i > 0:
			point = i
		default:
			return 0, false
		}
	}
	decimals := len(body) - 1 - point
	if point < 0 {
		decimals = 0
	}
	if digits == 0 || point >= 0 && decimals == 0 {
		return 0, false
	}
	if digits > maxExact {
		v, err := strconv.ParseFloat(string(text), 64)
		return v, err == nil
	}
	v := float64(mantissa) / math.Pow10(decimals)
	if text[0] == '-' {
		v = -v
	}
	return v, true
}

var errOther = errors.New("another device is there now")

// Same gives a check that a file still holds a name.
func (h *Hand) Same(file, name string) func() error {
	return func() error {
		var buf [256]byte
		text, err := h.Read(file, buf[:])
		if err != nil {
			return err
		}
		if string(text) != name {
			return fmt.Errorf("%s is %q and was %q: %w", file, string(text), name, errOther)
		}
		return nil
	}
}
