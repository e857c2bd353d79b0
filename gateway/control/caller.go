package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"unicode"

	"golang.org/x/sys/unix"
)

// whoHeader carries the name of the person who asks.
const whoHeader = "Fieldgate-User"

// A Caller is who asks. The kernel vouches for UID and PID, but a unit with
// PrivateUsers sees everybody as nobody except root and its own user. So the
// person's name is what the tool says: who may connect is trusted with it.
type Caller struct {
	UID  uint32
	PID  int32
	Name string // printable, at most 64 characters; "" if the tool says none
}

// String names the caller for the log.
func (c Caller) String() string {
	if c.Name == "" {
		return fmt.Sprintf("uid %d", c.UID)
	}
	return fmt.Sprintf("%s (uid %d)", c.Name, c.UID)
}

type callerKey struct{}

type stoppingKey struct{}

// baseContext is that of every request: done when the daemon stops.
func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return context.WithValue(ctx, stoppingKey{}, ctx) }
}

// stopping reports whether the daemon stops.
func stopping(q *http.Request) bool {
	ctx, ok := q.Context().Value(stoppingKey{}).(context.Context)
	return ok && ctx.Err() != nil
}

// withCaller asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
func withCaller(ctx context.Context, c net.Conn) context.Context {
	bounded, ok := c.(*conn)
	if !ok {
		return ctx
	}
	raw, err := bounded.Conn.(*net.UnixConn).SyscallConn() // the listener is one of the kind unix
	if err != nil {
		return ctx
	}
	var who Caller
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = Caller{UID: cred.Uid, PID: cred.Pid}
		}
	})
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(q *http.Request) Caller {
	who, ok := q.Context().Value(callerKey{}).(Caller)
	if !ok {
		who.UID = nobody
	}
	if name := q.Header.Get(whoHeader); len(name) <= 64 && printable(name) {
		who.Name = name
	}
	return who
}

// nobody is the user of whom nothing is known.
const nobody = 65534

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// whoAmI is the person who runs this tool: behind sudo, who called that.
func whoAmI() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
