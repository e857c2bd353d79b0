package uplink

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unsentMost is how much the kernel may hold of what it has not sent yet. What
// waits there is in front of everything that is written later, live readings
// included: 256 KiB are 32 s at 64 kbit/s. The call that writes more than this
// waits (TCP_NOTSENT_LOWAT, Linux 3.12, net/ipv4/tcp.c tcp_stream_memory_free;
// 16 KiB is also what HTTP/2 servers choose to keep priorities alive).
const unsentMost = 16 << 10

// tune sets up a TCP connection for a line that is silent for long, and
// notices its death. Any other connection is left as it is, and so is one
// whose kernel refuses: the line works without, its own pings find a dead peer
// too, only later.
//
// TCP_USER_TIMEOUT is how long what was sent may stay unacknowledged before the
// connection is given up; it also takes the place of the count of keepalives
// (tcp(7); RFC 5482). Without it Linux goes on resending for some 15 minutes.
func tune(c net.Conn, ping time.Duration) {
	t, ok := c.(interface {
		SyscallConn() (syscall.RawConn, error)
		SetKeepAliveConfig(net.KeepAliveConfig) error
	})
	if !ok {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: ping, Interval: max(time.Second, ping/2), Count: 3})
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((2 * ping).Milliseconds()))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMost)
	})
}

// tcpInfo asks the kernel about a TCP connection (tcp(7), TCP_INFO); nil for
// any other.
func tcpInfo(c net.Conn) *unix.TCPInfo {
	t, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	var info *unix.TCPInfo
	_ = raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil {
		return nil
	}
	return info
}
