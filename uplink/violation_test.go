package uplink_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink"
)

// accepted is the answer to a handshake by RFC 6455 section 4.2.2.
func accepted(r *http.Request, lines string) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n" + lines + "\r\n"
}

// serving answers each upgrade by hand, sends what say gives, and passes on
// the code of the close frame that comes; 0: the line ended without one.
func serving(codes chan<- int, answer func(*http.Request) string, say string) func(http.ResponseWriter, *http.Request) bool {
	return func(a http.ResponseWriter, r *http.Request) bool {
		conn, rw, err := http.NewResponseController(a).Hijack()
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer(r)+say) // an error shows as a code of 0
		code := 0
		for head := make([]byte, 2); code == 0; {
			if _, err := io.ReadFull(rw, head); err != nil {
				break
			}
			n := uint64(head[1] & 0x7f)
			if n == 126 {
				var more [2]byte
				_, _ = io.ReadFull(rw, more[:])
				n = uint64(binary.BigEndian.Uint16(more[:]))
			}
			rest := make([]byte, n+4)
			if _, err := io.ReadFull(rw, rest); err != nil {
				break
			}
			if head[0] == 0x88 && n >= 2 {
				code = int(rest[4]^rest[0])<<8 | int(rest[5]^rest[1])
			}
		}
		select {
		case codes <- code:
		default: // the first tells
		}
		return true
	}
}

// What RFC 6455 forbids a server, to a gateway as a client, in all ways in
// which it speaks.
func TestForbiddenFramesOfACloud(t *testing.T) {
	const bad = "\"\xff\""
	cases := []struct {
		name, say string
		code      int
	}{
		{"close of one byte (5.5.1)", "\x88\x01x", 1002},
		{"close of one byte behind a pong (5.5.1)", "\x8a\x00\x88\x01x", 1002},
		{"frame with a mask (5.1)", "\x81\x81\x01\x02\x03\x04x", 1002},
		{"RSV1 set (5.2)", "\xc1\x01x", 1002},
		{"opcode 3 (5.2)", "\x83\x00", 1002},
		{"length of 1 in two bytes more (5.2)", "\x81\x7e\x00\x01x", 1002},
		{"length of 1 in eight bytes more (5.2)", "\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x01x", 1002},
		{"message of 2^63 bytes (5.2)", "\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 1002},
		{"ping in fragments (5.5)", "\x09\x00", 1002},
		{"continuation of nothing (5.4)", "\x80\x01x", 1002},
		{"close with 1005 (7.4)", "\x88\x02\x03\xed", 1002},
		{"bad UTF-8 (8.1)", fmt.Sprintf("\x81%c", len(bad)) + bad, 1007},
		{"bad UTF-8 in fragments (8.1)", "\x01\x02\"\xe2\x80\x01\"", 1007},
		{"close in order", "\x88\x02\x03\xe8", 1000},
	}
	for _, mode := range []string{"fieldgate.v1.cbor", "fieldgate.v1.json", ""} {
		for _, c := range cases {
			if mode == "fieldgate.v1.cbor" && c.code == 1007 {
				continue // text is the wrong kind of frame there
			}
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				codes := make(chan int, 1)
				inTestbed(t, func(w *testbed, o *uplink.Options) {
					lines := "Sec-WebSocket-Protocol: " + mode + "\r\n"
					if o.Unacknowledged = mode == ""; o.Unacknowledged {
						lines = ""
					}
					o.JSON = mode == "fieldgate.v1.json"
					w.cloud.OnUpgrade = serving(codes, func(r *http.Request) string { return accepted(r, lines) }, c.say)
				}, func(w *testbed) {
					w.until(time.Minute, "an end", func() bool { return len(codes) == 1 })
					if code := <-codes; code != c.code {
						t.Errorf("close code %d, want %d; %s", code, c.code, w.up.Status().LastError)
					}
				})
			})
		}
	}
}

// An answer to the handshake that RFC 6455 section 4.1 forbids is not used.
func TestForbiddenAnswersToTheHandshake(t *testing.T) {
	chosen := "Sec-WebSocket-Protocol: fieldgate.v1.cbor\r\n"
	for name, c := range map[string]struct {
		lines  string
		change func(string) string
	}{
		"HTTP/1.0":                 {chosen, func(a string) string { return strings.Replace(a, "HTTP/1.1", "HTTP/1.0", 1) }},
		"a wrong key":              {chosen, func(a string) string { return strings.Replace(a, "Accept: ", "Accept: x", 1) }},
		"two keys":                 {chosen + "Sec-WebSocket-Accept: x\r\n", nil},
		"no upgrade":               {chosen, func(a string) string { return strings.Replace(a, "Upgrade: websocket\r\n", "", 1) }},
		"two upgrades":             {chosen + "Upgrade: h2c\r\n", nil},
		"a subprotocol twice":      {chosen + chosen, nil},
		"a subprotocol of its own": {"Sec-WebSocket-Protocol: chat\r\n", nil},
		"an extension": {chosen + "Sec-WebSocket-Extensions: permessage-deflate; " +
			"server_no_context_takeover; client_no_context_takeover\r\n", nil},
		"an extension behind an empty": {chosen + "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x\r\n", nil},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, plain), func(t *testing.T) {
				codes := make(chan int, 1)
				inTestbed(t, func(w *testbed, o *uplink.Options) {
					o.Unacknowledged = plain
					lines := c.lines
					if plain && !strings.Contains(name, "subprotocol") {
						lines = strings.Replace(lines, chosen, "", 1)
					}
					w.cloud.OnUpgrade = serving(codes, func(r *http.Request) string {
						a := accepted(r, lines)
						if c.change != nil {
							a = c.change(a)
						}
						return a
					}, "")
				}, func(w *testbed) {
					w.until(time.Minute, "in trouble", func() bool { return w.condition("uplink_foreign") != "" })
					if s := w.up.Status(); s.State == uplink.Online {
						t.Errorf("online: %+v", s)
					}
				})
			})
		}
	}
}
