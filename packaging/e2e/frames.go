package e2e

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Raw is a WebSocket server that is spoken to byte by byte, as no library would.
type Raw struct {
	Dial    func(t *testing.T) net.Conn
	Path    string                    // of its WebSocket
	Headers func(t *testing.T) string // what else a handshake needs, each line ended; anew for each connection
	Text    bool                      // its messages are text
	Page    bool                      // who does not ask for a WebSocket there gets a page
	Deflate bool                      // it agrees on permessage-deflate, which Headers offers
	Limit   int                       // bytes in a message that it takes
	Serves  func(t *testing.T)        // proves that the next client is served
}

// What Misbehave expects in the place of a close code.
const (
	empty = 1005 // a close frame without a code
	none  = 1006 // no close frame: the connection just ends
)

// A misdeed is what a client does after the handshake, and the close code that
// it gets for it.
type misdeed struct {
	name string
	say  []byte
	code int
}

// frame gives a masked frame of fewer than 126 bytes.
func frame(head byte, payload string) []byte {
	return append(header(head, uint64(len(payload))), masked(payload)...)
}

// header gives what stands before the payload of a masked frame.
func header(head byte, n uint64) []byte {
	b := []byte{head}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), n)
	}
	return append(b, mask...)
}

const mask = "\x11\x22\x33\x44"

func masked(payload string) []byte {
	b := []byte(payload)
	for i := range b {
		b[i] ^= mask[i%4]
	}
	return b
}

func closing(code uint16, reason string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// misdeeds is the table, with the sections of RFC 6455 that forbid them.
func (r *Raw) misdeeds() []misdeed {
	data, other := byte(0x82), byte(0x81) // FIN and opcode
	if r.Text {
		data, other = other, data
	}
	list := []misdeed{
		{"frame without a mask (5.1)", []byte{data, 1, 'x'}, 1002},
		{"ping without a mask (5.1)", []byte{0x89, 0}, 1002},
		{"RSV1 set (5.2)", frame(data|0x40, "x"), 1002},
		{"RSV2 set (5.2)", frame(data|0x20, "x"), 1002},
		{"RSV3 set (5.2)", frame(data|0x10, "x"), 1002},
		{"opcode 3 (5.2)", frame(0x83, "x"), 1002},
		{"opcode 15 (5.2)", frame(0x8f, ""), 1002},
		{"ping in fragments (5.5)", frame(0x09, "x"), 1002},
		{"ping of 126 bytes (5.5)", append(header(0x89, 126), masked(strings.Repeat("x", 126))...), 1002},
		{"close of 126 bytes (5.5)", append(header(0x88, 126), masked(strings.Repeat("x", 126))...), 1002},
		{"continuation of nothing (5.4)", frame(0x80, "x"), 1002},
		{"message inside of a message (5.4)", append(frame(data&0x0f, "x"), frame(data, "x")...), 1002},
		{"the other kind of frame", frame(other, "{}"), 1003},
		{"message too long", header(data, uint64(r.Limit)+1), 1009},
		{"message of 2^62 bytes", header(data, 1<<62), 1009},
		{"fragments too long together",
			append(append(header(data&0x0f, 10), masked(strings.Repeat("x", 10))...), header(0x80, uint64(r.Limit)-9)...), 1009},
		{"message of 2^63 bytes (5.2)", header(data, 1<<63), 1002},
		{"message of 2^64-1 bytes (5.2)", header(data, 1<<64-1), 1002},
		{"length of 1 in two bytes more (5.2)", wide(data, 16, "x"), 1002},
		{"length of 125 in eight bytes more (5.2)", wide(data, 64, strings.Repeat("x", 125)), 1002},
		{"length of 126 in eight bytes more (5.2)", wide(data, 64, strings.Repeat("x", 126)), 1002},
		{"ping of no bytes in two bytes more (5.2)", wide(0x89, 16, ""), 1002},
		{"close of one byte (5.5.1)", frame(0x88, "x"), 1002},
		{"close of one byte behind a ping (5.5.1)", append(frame(0x8a, "x"), frame(0x88, "x")...), 1002},
		{"close of one byte inside of a message (5.5.1)", append(frame(data&0x0f, "x"), frame(0x88, "x")...), 1002},
		{"close without a code", frame(0x88, ""), empty},
		{"close with bad UTF-8 (5.5.1)", closing(1000, "\xff"), 1002},
		{"close in order", closing(1000, "bye"), 1000},
		{"half a frame, and then nothing", header(data, 10)[:3], none},
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535} {
		list = append(list, misdeed{fmt.Sprintf("close with %d (7.4)", code), closing(code, ""), 1002})
	}
	if r.Deflate {
		list = append(deflated(data), list...)
		list = slices.DeleteFunc(list, func(m misdeed) bool { return m.name == "RSV1 set (5.2)" })
	}
	if r.Text {
		list = append(list,
			misdeed{"bad UTF-8 (8.1)", frame(data, "{\"\xff\":1}"), 1007},
			misdeed{"bad UTF-8 in fragments (8.1)", append(frame(data&0x0f, "\"\xe2\x82"), frame(0x80, "\"")...), 1007},
			misdeed{"surrogates in UTF-8 (8.1)", frame(data, "\"\xed\xa0\x80\""), 1007},
		)
	}
	return list
}

// wide gives a masked frame whose length stands in more bytes than it needs.
func wide(head byte, bits int, payload string) []byte {
	b := []byte{head, 0x80 | 126}
	if bits == 16 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint64([]byte{head, 0x80 | 127}, uint64(len(payload)))
	}
	return append(append(b, mask...), masked(payload)...)
}

// deflated are the misdeeds of who agreed on permessage-deflate (RFC 7692).
func deflated(data byte) []misdeed {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression) // the level exists
	_, _ = w.Write([]byte("\"\xff\""))                      // into memory
	_ = w.Flush()
	return []misdeed{
		{"RSV1 on a ping (7692 6.1)", frame(0x89|0x40, "x"), 1002},
		{"RSV1 on a continuation (7692 6.1)", append(frame(data&0x0f, "x"), frame(0x80|0x40, "x")...), 1002},
		{"bad UTF-8, compressed (8.1)", frame(data|0x40, strings.TrimSuffix(packed.String(), "\x00\x00\xff\xff")), 1007},
		{"what nobody compressed (7692 6.2)", frame(data|0x40, "\xff\xff\xff\xff"), 1007},
	}
}

// A handshake is a request that is none, and the status it gets.
type handshake struct {
	name   string
	change func(request string) string
	status int
	page   bool // it does not ask for a WebSocket at all
}

func without(header string) func(string) string {
	return func(request string) string {
		var b strings.Builder
		for line := range strings.Lines(request) {
			if !strings.HasPrefix(line, header+":") {
				b.WriteString(line)
			}
		}
		return b.String()
	}
}

func instead(old, text string) func(string) string {
	return func(request string) string { return strings.Replace(request, old, text, 1) }
}

// handshakes is the table of the section 4.2.1, and of what HTTP adds.
func (r *Raw) handshakes() []handshake {
	return []handshake{
		{"no key", without("Sec-WebSocket-Key"), http.StatusBadRequest, false},
		{"empty key", instead(key, ""), http.StatusBadRequest, false},
		{"short key", instead(key, "AQID"), http.StatusBadRequest, false},
		{"key that is not base64", instead(key, "%%%%%%%%%%%%%%%%%%%%%%%%"), http.StatusBadRequest, false},
		{"key of 16 letters", instead(key, "0123456789abcdef"), http.StatusBadRequest, false},
		{"key of 24 bytes", instead(key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"), http.StatusBadRequest, false},
		{"two keys (11.3.1)", instead("Host:", "Sec-WebSocket-Key: "+key+"\r\nHost:"), http.StatusBadRequest, false},
		{"extensions that are no list (9.1)", instead("Host:", "Sec-WebSocket-Extensions: a; =1\r\nHost:"), http.StatusBadRequest, false},
		{"extension with an empty value (9.1)", instead("Host:", "Sec-WebSocket-Extensions: a; b=\r\nHost:"), http.StatusBadRequest, false},
		{"a body", instead("Host:", "Content-Length: 2\r\nHost:"), http.StatusBadRequest, false},
		{"a body in chunks", instead("Host:", "Transfer-Encoding: chunked\r\nHost:"), http.StatusBadRequest, false},
		{"HTTP/1.0 (4.1)", instead("HTTP/1.1", "HTTP/1.0"), http.StatusUpgradeRequired, false},
		{"HEAD", instead("GET ", "HEAD "), http.StatusUpgradeRequired, false},
		{"versions 13 and 8", instead("Version: 13", "Version: 13, 8"), http.StatusUpgradeRequired, false},
		{"version twice (11.3.5)", instead("Host:", "Sec-WebSocket-Version: 8\r\nHost:"), http.StatusUpgradeRequired, false},
		{"version 130", instead("Version: 13", "Version: 130"), http.StatusUpgradeRequired, false},
		{"an empty version", instead("Version: 13", "Version:"), http.StatusUpgradeRequired, false},
		{"upgrade to websockets", instead("Upgrade: websocket", "Upgrade: websockets"), http.StatusUpgradeRequired, true},
		{"connection kept alive", instead("Connection: Upgrade", "Connection: keep-alive"), http.StatusUpgradeRequired, true},
		{"no version", without("Sec-WebSocket-Version"), http.StatusUpgradeRequired, false},
		{"version 8", instead("Version: 13", "Version: 8"), http.StatusUpgradeRequired, false},
		{"no upgrade", without("Upgrade"), http.StatusUpgradeRequired, true},
		{"upgrade to h2c", instead("Upgrade: websocket", "Upgrade: h2c"), http.StatusUpgradeRequired, true},
		{"no connection upgrade", without("Connection"), http.StatusUpgradeRequired, true},
		{"POST", instead("GET ", "POST "), http.StatusMethodNotAllowed, false},
		{"no host", without("Host"), http.StatusBadRequest, false},
		{"a head of 64 KiB", instead("Host:", "X-Long: "+strings.Repeat("x", 64<<10)+"\r\nHost:"), http.StatusRequestHeaderFieldsTooLarge, false},
		{"no HTTP at all", func(string) string { return "\x16\x03\x01 hello\r\n\r\n" }, http.StatusBadRequest, false},
	}
}

// Misbehave does everything of the tables to the server, and after each
// looks whether it still serves.
func (r *Raw) Misbehave(t *testing.T) {
	for _, h := range r.handshakes() {
		t.Run(h.name, func(t *testing.T) {
			conn := r.Dial(t)
			defer conn.Close()
			res, _, err := ask(conn, h.change(r.request(t)))
			if err == nil && r.Page && res.StatusCode == http.StatusOK && h.page {
				return
			}
			if err != nil || res.StatusCode != h.status {
				t.Fatalf("%+v (%v), want %d", res, err, h.status)
			}
			if h.status == http.StatusUpgradeRequired && (res.Header.Get("Sec-WebSocket-Version") != "13" ||
				res.Header.Get("Upgrade") != "websocket") {
				t.Errorf("the answer does not say what would be served: %v (4.4)", res.Header)
			}
			r.Serves(t)
		})
	}
	for _, m := range r.misdeeds() {
		t.Run(m.name, func(t *testing.T) {
			conn, in := r.Open(t)
			defer conn.Close()
			if _, err := conn.Write(m.say); err != nil {
				t.Fatal(err)
			}
			if m.code == none {
				closeWrite(conn)
			}
			if code, pongs := closeCode(in); code != m.code || pongs != 0 {
				t.Errorf("close code %d after %d pongs, want %d", code, pongs, m.code)
			}
			r.Serves(t)
		})
	}
	t.Run("a flood of pings", r.flood)
}

// flood sends a thousand pings while it reads the answers.
func (r *Raw) flood(t *testing.T) {
	conn, in := r.Open(t)
	defer conn.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(append(bytes.Repeat(frame(0x89, "ping"), 1000), closing(1000, "")...))
		sent <- err
	}()
	if code, pongs := closeCode(in); code != 1000 || pongs != 1000 {
		t.Errorf("%d pongs, then close code %d", pongs, code)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	r.Serves(t)
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="

func (r *Raw) request(t *testing.T) string {
	return "GET " + r.Path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: 13\r\n" + r.Headers(t) + "\r\n"
}

// Open shakes hands.
func (r *Raw) Open(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := r.Dial(t)
	res, in, err := ask(conn, r.request(t))
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v (%v)", res, err)
	}
	if deflate := res.Header.Get("Sec-WebSocket-Extensions") != ""; deflate != r.Deflate {
		t.Fatalf("permessage-deflate: %v, want %v", deflate, r.Deflate)
	}
	return conn, in
}

// ask sends a request and reads the head of the answer.
func ask(conn net.Conn, request string) (res *http.Response, in *bufio.Reader, err error) {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, request)
		sent <- err
	}()
	in = bufio.NewReader(conn)
	res, err = http.ReadResponse(in, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := <-sent; err != nil && res.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil, err // else the server had heard enough
	}
	return res, in, nil
}

// closeWrite says that nothing more comes, as far as the connection can.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// closeCode reads frames until one closes or the connection ends, and counts
// the pongs before it.
func closeCode(in *bufio.Reader) (code, pongs int) {
	for {
		op, payload, err := readFrame(in)
		switch {
		case err != nil:
			return none, pongs
		case op == 8 && len(payload) < 2:
			return empty, pongs
		case op == 8:
			return int(binary.BigEndian.Uint16(payload)), pongs
		case op == 10:
			pongs++
		}
	}
}

// readFrame reads one frame of the server, which has no mask.
func readFrame(in *bufio.Reader) (op byte, payload []byte, err error) {
	head := make([]byte, 2, 10)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(in, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(in, head[2:10])
		n = binary.BigEndian.Uint64(head[2:10])
	}
	if err != nil || n > 1<<20 {
		return 0, nil, errors.Join(err, errors.New("a frame that is cut short, masked or too long"))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(in, payload)
	return head[0] & 0x0f, payload, err
}

// Trickle says something, if anything, and then sends a frame a byte a second.
// It gives how long the server bears that, and the close code. It belongs in a
// bubble of virtual time.
func (r *Raw) Trickle(t *testing.T, first string) (time.Duration, int) {
	conn, in := r.Open(t)
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	ended := make(chan int, 1)
	go func() {
		code, _ := closeCode(in)
		ended <- code
	}()
	data := byte(0x82)
	if r.Text {
		data = 0x81
	}
	if first != "" {
		if _, err := conn.Write(append(header(data, uint64(len(first))), masked(first)...)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if _, err := conn.Write(header(data, 10_000)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case code := <-ended:
			return time.Since(began), code
		case <-tick.C:
			_, _ = conn.Write([]byte{0}) // an error shows as the end
		}
		if time.Since(began) > time.Hour {
			t.Fatal("the server has waited for an hour")
		}
	}
}
