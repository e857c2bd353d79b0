// Package rfc6455 looks at what gorilla/websocket does not look at: the
// handshake (RFC 6455 sections 4.1 and 4.2), the form of frames (5.2 and
// 5.5.1), and the offers of permessage-deflate (RFC 7692 section 7.1). All
// WebSockets of both programs go through it.
package rfc6455

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// Version is the only version of the protocol, section 4.1.
const Version = "13"

// A Refusal says why a request is no handshake that can be served.
type Refusal struct {
	Status int    // 426: it does not ask for a WebSocket of version 13; 400: it asks in a way that is not allowed
	Why    string // for people
}

// Refused gives the refusal of a request that is no opening handshake by
// section 4.2.1, nil for one that is, and joins what may come in several
// headers of one name. A refusal with status 426 sets the headers by which a
// client learns what is served here.
func Refused(w http.ResponseWriter, r *http.Request) *Refusal {
	if why := noHandshake(r); why != "" {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Sec-WebSocket-Version", Version)
		return &Refusal{http.StatusUpgradeRequired, "This is the address for WebSocket clients, version 13: " + why + "."}
	}
	if why := badHandshake(r); why != "" {
		w.Header().Set("Connection", "close") // else net/http waits for a body before it answers
		return &Refusal{http.StatusBadRequest, "The WebSocket handshake is not right: " + why + "."}
	}
	// Section 11.3.4: several headers stand for one. gorilla reads the first.
	if list := r.Header.Values("Sec-WebSocket-Protocol"); len(list) > 1 {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(list, ", "))
	}
	return nil
}

// noHandshake says what a request lacks to ask for a WebSocket of our version.
func noHandshake(r *http.Request) string {
	versions := r.Header.Values("Sec-WebSocket-Version")
	switch {
	case !r.ProtoAtLeast(1, 1): // there an Upgrade means nothing: RFC 9110 section 7.8
		return "the request is not HTTP/1.1"
	case r.Method != http.MethodGet:
		return "the method is not GET"
	case !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return "the request does not ask for an upgrade to websocket"
	case len(versions) != 1 || versions[0] != Version:
		return "the request is not of version 13"
	}
	return ""
}

// badHandshake says what is wrong with a request for a WebSocket.
func badHandshake(r *http.Request) string {
	keys := r.Header.Values("Sec-WebSocket-Key")
	_, wellFormed := parseExtensions(r.Header)
	switch {
	case len(keys) != 1 || !validKey(keys[0]):
		return "Sec-WebSocket-Key must be there once, 16 bytes in base64"
	case !wellFormed:
		return "Sec-WebSocket-Extensions is not a list of extensions"
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0: // it would be read as frames
		return "it has a body"
	}
	return ""
}

func validKey(key string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(raw) == 16
}

// hasToken reports whether a header that is a list of tokens has one.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for word := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(word, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// WrongAnswer says what is wrong with a server's answer to a handshake that
// offered subprotocols and no extension, "" if it may be used (section 4.1,
// and of 11.3 what may not come twice). The status and the key are looked at
// already.
func WrongAnswer(answer *http.Response, offered []string) string {
	chosen := answer.Header.Values("Sec-WebSocket-Protocol")
	switch {
	case !answer.ProtoAtLeast(1, 1):
		return "its answer is not HTTP/1.1"
	case len(answer.Header.Values("Upgrade")) != 1 || len(answer.Header.Values("Sec-WebSocket-Accept")) != 1:
		return "its answer has a header twice that may be there once"
	case len(answer.Header.Values("Sec-WebSocket-Extensions")) > 0:
		return "it uses an extension that was not offered"
	case len(chosen) > 1:
		return "it chose more than one subprotocol"
	case len(chosen) == 0:
		return ""
	}
	for _, p := range offered {
		if p == chosen[0] {
			return ""
		}
	}
	return "it chose a subprotocol that was not offered"
}

// An extension is one offer of Sec-WebSocket-Extensions.
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	valued      bool
}

// Deflate reports whether a request offers permessage-deflate in a way that
// gorilla's answer, "server_no_context_takeover; client_no_context_takeover",
// agrees to. An offer that asks for a smaller window of the server is declined:
// the compressor of Go has one of 32 KiB (RFC 7692 section 7.1.2.1).
func Deflate(r *http.Request) bool {
	offers, ok := parseExtensions(r.Header)
	for _, o := range offers {
		if ok && o.name == "permessage-deflate" && agreeable(o.params) {
			return true
		}
	}
	return false
}

// agreeable holds for parameters that are known, valid and there once
// (RFC 7692 section 7.1), and that gorilla can keep to.
func agreeable(params []param) bool {
	seen := map[string]bool{}
	for _, p := range params {
		switch {
		case seen[p.name]:
			return false
		case p.name == "server_no_context_takeover" || p.name == "client_no_context_takeover":
			if p.valued {
				return false
			}
		case p.name == "client_max_window_bits":
			if p.valued && !windowBits(p.value) {
				return false
			}
		default:
			return false
		}
		seen[p.name] = true
	}
	return true
}

// windowBits holds for 8 to 15 without a leading zero.
func windowBits(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 8 && n <= 15 && strconv.Itoa(n) == text
}
