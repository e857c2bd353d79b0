package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// readKeys gives the keys that are pressed on a terminal, each at once and
// unseen; Ctrl-C stays a signal. restore puts the terminal back. Without a
// terminal there are no keys.
func readKeys(in *os.File) (keys <-chan byte, restore func()) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, func() {}
	}
	now := *before
	now.Lflag &^= unix.ICANON | unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &now); err != nil {
		return nil, func() {}
	}
	pressed := make(chan byte)
	go func() {
		// Ends with the process: a read from a terminal cannot be interrupted.
		buf := make([]byte, 1)
		for {
			if n, err := in.Read(buf); n == 0 || err != nil {
				return
			}
			pressed <- buf[0]
		}
	}()
	return pressed, func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
}
