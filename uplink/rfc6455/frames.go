package rfc6455

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// CloseCode is what a Violation is answered with: a protocol error, section
// 7.4.1.
const CloseCode = 1002

// A Violation is a frame that section 5 forbids. Reading gives it in the place
// of the frame; who reads answers with CloseCode.
type Violation struct{ Why string }

func (v *Violation) Error() string { return v.Why }

// headMost is how long the head of an answer to a handshake may be, in bytes.
// Whoever reads it keeps all of it; a real one has some hundreds.
const headMost = 64 << 10

// Violated gives the violation in an error of a reader, nil if it is another.
func Violated(err error) *Violation {
	var v *Violation
	errors.As(err, &v)
	return v
}

// Server watches the frames that a client sends after the upgrade of w. deflate
// says that permessage-deflate is agreed on.
func Server(w http.ResponseWriter, deflate bool) http.ResponseWriter {
	return &hijacker{w, deflate}
}

type hijacker struct {
	http.ResponseWriter
	deflate bool
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over the connection: %w", err)
	}
	return &watched{Conn: conn, deflate: h.deflate}, rw, nil
}

// Client watches the frames that a server sends behind the head of its answer
// to the handshake.
func Client(conn net.Conn) net.Conn { return &watched{Conn: conn, inHead: true} }

// A watched connection follows the frames that are read from it. Everything
// but the headers of frames it skips. Read is called by one goroutine at a
// time.
type watched struct {
	net.Conn
	deflate bool
	inHead  bool // of the server's answer
	inLine  bool // of it; an empty line ends it
	heard   int  // bytes of it

	head  [10]byte // of a frame: two bytes, and the rest of the length
	have  int8
	skip  uint64 // bytes of mask and payload
	fault *Violation
}

// headMore is how many bytes of length follow the first two.
func headMore(length byte) int8 {
	switch length {
	case 126:
		return 2
	case 127:
		return 8
	}
	return 0
}

// Read implements net.Conn. What stands before a violation is still given.
func (c *watched) Read(p []byte) (int, error) {
	if c.fault != nil {
		return 0, c.fault
	}
	n, err := c.Conn.Read(p)
	for i := 0; i < n; i++ {
		switch {
		case c.inHead:
			c.ofHead(p[i])
			if c.heard++; c.heard > headMost {
				c.fault = &Violation{fmt.Sprintf("an answer to the upgrade with a head of more than %d KiB", headMost>>10)}
				return 0, c.fault
			}
		case c.skip > 0:
			step := min(c.skip, uint64(n-i))
			c.skip -= step
			i += int(step) - 1
		default:
			if c.fault = c.ofFrame(p[i]); c.fault == nil {
				continue
			}
			if i > 0 {
				return i, nil // the next call tells
			}
			return 0, c.fault
		}
	}
	return n, err
}

// ofHead looks for the empty line that ends the head of an answer.
func (c *watched) ofHead(b byte) {
	switch b {
	case '\n':
		c.inHead = c.inLine
		c.inLine = false
	case '\r':
	default:
		c.inLine = true
	}
}

// ofFrame takes a byte of a frame's header, and judges the header when it is
// whole. What gorilla judges it does not.
func (c *watched) ofFrame(b byte) *Violation {
	c.head[c.have] = b
	c.have++
	if c.have < 2 || c.have < 2+headMore(c.head[1]&0x7f) {
		return nil
	}
	c.have = 0
	length, least := uint64(c.head[1]&0x7f), uint64(0)
	switch length {
	case 126:
		length, least = uint64(binary.BigEndian.Uint16(c.head[2:])), 126
	case 127:
		length, least = binary.BigEndian.Uint64(c.head[2:]), 1<<16
	}
	if c.head[1]&0x80 != 0 {
		c.skip = 4
	}
	c.skip += length
	return c.judge(length, least)
}

func (c *watched) judge(length, least uint64) *Violation {
	opcode := c.head[0] & 0x0f
	switch {
	case length > 1<<63-1:
		return &Violation{"a frame of 2^63 bytes or more"}
	case length < least:
		return &Violation{"the length of a frame in more bytes than it needs"}
	case opcode == 8 && length == 1:
		return &Violation{"a close frame with one byte, which is no code"}
	case c.deflate && c.head[0]&0x40 != 0 && opcode != 1 && opcode != 2: // RFC 7692 section 6
		return &Violation{"RSV1 on a frame that does not begin a message"}
	}
	return nil
}
