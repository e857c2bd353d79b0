package rfc6455

import (
	"net/http"
	"testing"
)

// Which offers of permessage-deflate are agreed to (RFC 7692 section 7.1): the
// answer is always "server_no_context_takeover; client_no_context_takeover".
func TestOffersOfDeflate(t *testing.T) {
	for _, c := range []struct {
		offer  string
		agreed bool
		list   bool // it keeps to the grammar
	}{
		{"", false, true},
		{"permessage-deflate", true, true},
		{"Permessage-Deflate", true, true},
		{"permessage-deflate; client_max_window_bits", true, true},
		{"permessage-deflate; client_max_window_bits=8", true, true},
		{`permessage-deflate; client_max_window_bits="15"`, true, true},
		{"permessage-deflate;server_no_context_takeover ; client_no_context_takeover", true, true},
		{"x-webkit-deflate-frame, permessage-deflate", true, true},
		{", permessage-deflate ,", true, true},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", true, true},
		{"permessage-deflate; server_max_window_bits=10", false, true},
		{"permessage-deflate; server_max_window_bits=15", false, true}, // the answer would have to repeat it
		{"permessage-deflate; server_max_window_bits", false, true},
		{"permessage-deflate; server_max_window_bits=16", false, true},
		{"permessage-deflate; client_max_window_bits=7", false, true},
		{"permessage-deflate; client_max_window_bits=16", false, true},
		{"permessage-deflate; client_max_window_bits=08", false, true},
		{"permessage-deflate; client_max_window_bits=+9", false, true},
		{"permessage-deflate; server_no_context_takeover=1", false, true},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", false, true},
		{"permessage-deflate; mode=fast", false, true},
		{"permessage-bzip2", false, true},
		{"permessage-deflate;", false, false},
		{"permessage-deflate; client_max_window_bits=", false, false},
		{`permessage-deflate; client_max_window_bits="1`, false, false},
		{`permessage-deflate; client_max_window_bits="a b"`, false, false},
		{"permessage-deflate client_max_window_bits", false, false},
	} {
		r := &http.Request{Header: http.Header{}}
		if c.offer != "" {
			r.Header.Set("Sec-WebSocket-Extensions", c.offer)
		}
		if _, list := parseExtensions(r.Header); Deflate(r) != c.agreed || list != c.list {
			t.Errorf("%q: agreed %v, a list %v", c.offer, Deflate(r), list)
		}
	}
}
