package line_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/line"
)

// echo is a server that says everything again.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }() // ends with the connection
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, n *line.Line) net.Conn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.Port()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends a word and waits for its echo.
func say(c net.Conn) error {
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

func TestALineIsAsItIsSet(t *testing.T) {
	n, err := line.New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c := dial(t, n)
	for _, state := range []line.State{line.Up, line.Slow} {
		n.Set(state)
		if err := say(c); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
	for _, state := range []line.State{line.Cut, line.Reset} {
		n.Set(line.Up)
		c := dial(t, n)
		if err := say(c); err != nil {
			t.Fatal(err)
		}
		n.Set(state)
		if err := say(c); err == nil {
			t.Errorf("%s, and a connection that was open goes on", state)
		}
	}
	n.Set(line.Cut)
	if err := say(dial(t, n)); err == nil {
		t.Error("cut, and a new connection works")
	}
}

// A line that is half open takes everything, and gives nothing, until it is up
// again: what it swallowed never arrives.
func TestHalfOpenSwallows(t *testing.T) {
	n, err := line.New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Set(line.HalfOpen)
	c := dial(t, n)
	if _, err := c.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("half open, and something came")
	}
	n.Set(line.Up)
	_ = c.SetReadDeadline(time.Time{})
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("what was swallowed arrived")
	}
	if err := say(dial(t, n)); err != nil {
		t.Errorf("up again: %v", err)
	}
}
