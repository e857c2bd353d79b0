// Package netwatch hears from the kernel when the network may have become
// better.
//
// It hears rtnetlink(7), the groups of links, addresses and routes. What went
// away, and whatever concerns loopback, cannot help and wakes nobody.
package netwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	quiet = 300 * time.Millisecond // an address, its routes and its link tell of themselves one by one
	late  = 2 * time.Second        // but not for ever
)

// Run calls wake soon after the network may have become better: an interface
// came up, got an address, or a route appeared. It returns nil when ctx is
// done. Where the kernel lets nobody listen (a sandbox without AF_NETLINK) it
// says so once and only waits: the back-off finds the network too, later.
func Run(ctx context.Context, wake func(), log *slog.Logger) error {
	f, err := open()
	if err != nil {
		log.Warn("cannot hear when a network interface comes up; a lost uplink is tried again by its back-off alone", "error", err)
		<-ctx.Done()
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	w := &watch{f: f, wake: wake, running: map[uint32]bool{}}
	for err == nil {
		err = w.hear()
	}
	if ctx.Err() == nil { // nobody's reason to end a gateway
		log.Warn("no longer hears when a network interface comes up", "error", err)
		_ = f.Close()
		<-ctx.Done()
	}
	return nil
}

func open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK |
		unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE})
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind netlink: %w", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil // non-blocking, so reads can be ended
}

// A watch gathers what is heard into one wake.
type watch struct {
	f       *os.File
	wake    func()
	running map[uint32]bool // interfaces by index, as last heard
	first   time.Time       // of what has been heard and not told yet; zero: nothing
	buf     [32 << 10]byte
}

// hear waits for one datagram, or for the quiet after some.
func (w *watch) hear() error {
	var until time.Time
	if !w.first.IsZero() {
		until = time.Now().Add(quiet)
		if end := w.first.Add(late); end.Before(until) {
			until = end
		}
	}
	if err := w.f.SetReadDeadline(until); err != nil {
		return err
	}
	n, err := w.f.Read(w.buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.first = time.Time{}
		w.wake()
		return nil
	case errors.Is(err, unix.ENOBUFS): // so much happened that some of it was lost
	case err != nil:
		return err
	case !w.anyHelps(w.buf[:n]):
		return nil
	}
	if w.first.IsZero() {
		w.first = time.Now()
	}
	return nil
}

// anyHelps reports whether a datagram tells of anything that may make a
// connection possible.
func (w *watch) anyHelps(b []byte) bool {
	any := false
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			break
		}
		any = w.helps(binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]) || any
		b = b[min(len(b), (size+3)&^3):]
	}
	return any
}

// helps judges one message by its fixed header (struct ifinfomsg, ifaddrmsg
// and rtmsg of linux/rtnetlink.h and linux/if_addr.h).
func (w *watch) helps(kind uint16, body []byte) bool {
	switch {
	case kind == unix.RTM_NEWLINK && len(body) >= unix.SizeofIfInfomsg:
		flags := binary.NativeEndian.Uint32(body[8:])
		return w.link(binary.NativeEndian.Uint32(body[4:]), flags&unix.IFF_RUNNING != 0) && flags&unix.IFF_LOOPBACK == 0
	case kind == unix.RTM_DELLINK && len(body) >= unix.SizeofIfInfomsg:
		delete(w.running, binary.NativeEndian.Uint32(body[4:]))
	case kind == unix.RTM_NEWADDR && len(body) >= unix.SizeofIfAddrmsg:
		flags, scope := body[2], body[3]
		return flags&unix.IFA_F_TENTATIVE == 0 && scope < unix.RT_SCOPE_LINK
	case kind == unix.RTM_NEWROUTE && len(body) >= unix.SizeofRtMsg:
		table, scope, class := body[4], body[6], body[7]
		return table == unix.RT_TABLE_MAIN && scope < unix.RT_SCOPE_LINK && class == unix.RTN_UNICAST
	}
	return false
}

// link notes an interface, and tells whether it has come up: a radio tells of
// itself with every scan.
func (w *watch) link(index uint32, running bool) (up bool) {
	up = running && !w.running[index]
	w.running[index] = running
	return up
}
