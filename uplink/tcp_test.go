package uplink

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel holds what tune asked for, and what is no TCP is left alone.
func TestTCPOptions(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tune(c, 45*time.Second)
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]struct{ level, option, want int }{
		"TCP_USER_TIMEOUT":  {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 90_000},
		"TCP_NOTSENT_LOWAT": {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16384},
		"SO_KEEPALIVE":      {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":      {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 45},
	} {
		var got int
		var err error
		_ = raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), o.level, o.option) })
		if err != nil || got != o.want {
			t.Errorf("%s is %d (%v), want %d", name, got, err, o.want)
		}
	}
	a, b := net.Pipe()
	tune(a, time.Second)
	if tcpInfo(a) != nil || tcpInfo(c) == nil {
		t.Error("knows of a pipe what only TCP knows, or not of TCP")
	}
	_, _ = a.Close(), b.Close()
	_ = c.Close()
	tune(c, time.Second) // closed: nothing happens
	if tcpInfo(c) != nil {
		t.Error("knows something of a closed socket")
	}
}
