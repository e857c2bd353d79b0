package cloud_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/keyring"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A frame is one of RFC 6455 section 5.2, as no library would let one make it.
type frame struct {
	first   byte // FIN, reserved bits, opcode
	length  int  // claimed; 0: that of the payload
	payload []byte
}

const (
	fin  = 0x80
	text = 1
	bin  = 2
)

func (f frame) bytes() []byte {
	n := uint64(f.length)
	if f.length == 0 {
		n = uint64(len(f.payload))
	}
	b := []byte{f.first}
	const mask = 0x80
	switch {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), n)
	}
	b = append(b, 0, 0, 0, 0) // a mask that changes nothing
	return append(b, f.payload...)
}

// TestFramesOutOfPlace sends frames that this protocol forbids, before a
// session is open and in it, and wants the close code that says so.
func TestFramesOutOfPlace(t *testing.T) {
	s := newSite(t, nil)
	big := bytes.Repeat([]byte("x"), wire.DefaultMessage/2+1)
	for name, c := range map[string]struct {
		codec  *wire.Codec
		frames []frame
		want   int
	}{
		"long before it is there":      {wire.CBOR, []frame{{first: fin | bin, length: wire.DefaultMessage + 1}}, 1009},
		"very long before it is there": {wire.JSON, []frame{{first: fin | text, length: 1 << 40}}, 1009},
		"too long in parts":            {wire.CBOR, []frame{{first: bin, payload: big}, {first: 0, payload: big}}, 1009},
		"text on CBOR":                 {wire.CBOR, []frame{{first: fin | text, payload: []byte(`{}`)}}, 1003},
		"binary on JSON":               {wire.JSON, []frame{{first: fin | bin, payload: []byte{0xa0}}}, 1003},
		"bad UTF-8":                    {wire.JSON, []frame{{first: fin | text, payload: []byte("{\"type\":\"\xff\"}")}}, 1007},
		"three that say nothing": {wire.JSON,
			[]frame{{first: fin | text}, {first: fin | text, payload: []byte("[]")}, {first: fin | text, payload: []byte("x")}}, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			s.add("g_" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "_"), "-", "_"))
			for _, opened := range []bool{false, true} {
				p := s.dialIn(c.codec)
				p.t = t
				if opened {
					p.send(&wire.Hello{GatewayID: s.id})
					recv[*wire.Welcome](p)
				}
				for _, f := range c.frames {
					_, _ = p.conn.NetConn().Write(f.bytes()) // it may have closed already
				}
				if got := p.closed(); got != c.want {
					t.Errorf("opened %v: closed with %d, want %d", opened, got, c.want)
				}
			}
		})
	}
}

// TestMessagesOutOfPlace is the table of what a session may not begin with,
// or hold, and of what it may.
func TestMessagesOutOfPlace(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	hello := &wire.Hello{GatewayID: s.id}
	for name, c := range map[string]struct {
		messages []wire.Message
		want     int // close code; 0: the session goes on
	}{
		"update first":     {[]wire.Message{closedEnd(e, 0)}, 4400},
		"event first":      {[]wire.Message{event(e, 1)}, 4400},
		"ping first":       {[]wire.Message{&wire.Ping{}}, 4400},
		"hello twice":      {[]wire.Message{hello, hello}, 4400},
		"another's hello":  {[]wire.Message{&wire.Hello{GatewayID: "plant_8"}}, 4403},
		"what clouds say":  {[]wire.Message{hello, &wire.Ack{}, &wire.Ack{}, &wire.Ack{}}, 4400},
		"twice is allowed": {[]wire.Message{hello, &wire.Ack{}, &wire.Ack{}}, 0},
		"status":           {[]wire.Message{hello, &wire.Status{}, &wire.Reported{State: "applied"}, &wire.Result{ID: "a", State: "done"}}, 0},
		"errors":           {[]wire.Message{hello, &wire.Error{Code: "a"}, &wire.Error{Code: "a"}, &wire.Error{Code: "a"}}, 0},
	} {
		for _, codec := range []*wire.Codec{wire.CBOR, wire.JSON} {
			t.Run(name+" in "+codec.Subprotocol, func(t *testing.T) {
				s.add(fmt.Sprintf("%s_%d", strings.ReplaceAll(strings.ReplaceAll(name, " ", "_"), "'", "_"),
					len(codec.Subprotocol)+map[bool]int{true: 1}[codec.Text]))
				p := s.dialIn(codec)
				p.t = t
				for _, m := range c.messages {
					if h, ok := m.(*wire.Hello); ok && h.GatewayID == "plant_7" {
						m = &wire.Hello{GatewayID: s.id}
					}
					p.send(m)
				}
				if c.want == 0 {
					p.send(&wire.Ping{T0: 5})
					for pong := false; !pong; {
						_, pong = recv[wire.Message](p).(*wire.Pong)
					}
					return
				}
				if got := p.closed(); got != c.want {
					t.Errorf("closed with %d, want %d", got, c.want)
				}
			})
		}
	}
}

// TestUnknownTypesAreIgnored: v1 can grow, however often the new is said.
func TestUnknownTypesAreIgnored(t *testing.T) {
	s := newSite(t, nil)
	for codec, raw := range map[*wire.Codec][]byte{wire.CBOR: {0xa1, 0, 0x18, 99}, wire.JSON: []byte(`{"type":"telepathy","to":"you"}`)} {
		p, _ := s.openIn(codec)
		kind := websocket.BinaryMessage
		if codec.Text {
			kind = websocket.TextMessage
		}
		for range 2 * 3 {
			p.sendRaw(kind, raw)
			if m := recv[*wire.Error](p); m.Code != "unknown_type" {
				t.Errorf("answered with %+v", m)
			}
		}
		p.send(&wire.Ping{})
		recv[*wire.Pong](p)
	}
}

// TestUpgradeLimits: what is too much is refused before anything is done
// with it.
func TestUpgradeLimits(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.creds = keyring.Credentials{Dir: s.dir + "/gateways"}
	s.add("plant_7")
	addr, secure := s.serveTLS(t)
	secure.ServerName, secure.NextProtos = "localhost", []string{"h2", "http/1.1"}
	ask := func(header string) string {
		conn, err := tls.Dial("tcp", addr, secure)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("agreed on %q", p)
		}
		_ = conn.SetDeadline(time.Now().Add(answerWithin))
		fmt.Fprintf(conn, "GET /v1/gateway HTTP/1.1\r\nHost: localhost\r\n%s\r\n", header)
		answer := make([]byte, 12)
		_, _ = io.ReadFull(conn, answer)
		return string(answer[9:])
	}
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"Sec-WebSocket-Protocol: fieldgate.v1.json\r\nAuthorization: Bearer " + s.token + "\r\n"
	for name, c := range map[string]struct{ header, want string }{
		"as it should be":    {upgrade, "101"},
		"long header":        {upgrade + "X: " + strings.Repeat("x", 16<<10) + "\r\n", "431"},
		"many headers":       {upgrade + strings.Repeat("X: x\r\n", 4<<10), "431"},
		"old version":        {strings.Replace(upgrade, "13", "8", 1), "426"},
		"no key":             {strings.Replace(upgrade, "Sec-WebSocket-Key", "X", 1), "400"},
		"no upgrade":         {strings.Replace(upgrade, "Upgrade: websocket", "X: y", 1), "426"},
		"from another's web": {upgrade + "Origin: https://evil.example\r\n", "403"},
	} {
		if got := ask(c.header); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+addr+"/v1/gateway", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: secure}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %s", resp.Status)
	}
}
