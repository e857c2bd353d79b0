package local

import (
	"net"
	"testing"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// What RFC 6455 forbids, byte by byte.
func TestForbiddenFrames(t *testing.T) {
	o, _ := options()
	_, addr := start(t, o)
	for _, path := range []string{"/ws", "/"} {
		t.Run(path, func(t *testing.T) { forbidden(t, addr, path) })
	}
}

func forbidden(t *testing.T, addr, path string) {
	raw := e2e.Raw{
		Dial: func(t *testing.T) net.Conn {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			return conn
		},
		Path: path, Headers: func(*testing.T) string { return "" }, Text: true, Page: path == "/", Limit: maxInbound,
		Serves: func(t *testing.T) {
			conn := dial(t, "ws://"+addr+"/ws")
			next(t, conn, "status")
			_ = conn.Close()
		},
	}
	raw.Misbehave(t)
}

// A client that sends a byte a second is not better than a silent one.
func TestTrickleOfAFrame(t *testing.T) {
	o, _ := options()
	inVirtualTime(t, o, func(_ *Server, l *pipeListener) {
		raw := e2e.Raw{
			Dial: func(*testing.T) net.Conn {
				here, there := net.Pipe()
				l.conns <- there
				return here
			},
			Path: "/ws", Headers: func(*testing.T) string { return "" }, Text: true,
		}
		if took, _ := raw.Trickle(t, ""); took > silence+writeGrace {
			t.Errorf("it is borne for %v", took)
		}
		conn := l.dial(t)
		next(t, conn, "status")
		_ = conn.Close()
	})
}
