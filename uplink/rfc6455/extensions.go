package rfc6455

import (
	"net/http"
	"strings"
)

// parseExtensions reads Sec-WebSocket-Extensions by the grammar of section
// 9.1. It is false if a header does not keep to it; none at all does.
func parseExtensions(h http.Header) (list []extension, ok bool) {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		s := scanner{rest: line}
		for s.spaces(); s.rest != ""; s.spaces() {
			if s.skip(',') { // RFC 9110 section 5.6.1: a list may have empty elements
				continue
			}
			e := s.extension()
			if s.failed || s.rest != "" && s.rest[0] != ',' {
				return nil, false
			}
			list = append(list, e)
		}
	}
	return list, true
}

// A scanner reads one header from its front.
type scanner struct {
	rest   string
	failed bool
}

func (s *scanner) spaces() { s.rest = strings.TrimLeft(s.rest, " \t") }

func (s *scanner) skip(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// extension reads a name and its parameters.
func (s *scanner) extension() extension {
	e := extension{name: strings.ToLower(s.token())}
	for s.spaces(); s.skip(';'); s.spaces() {
		s.spaces()
		p := param{name: strings.ToLower(s.token())}
		s.spaces()
		if p.valued = s.skip('='); p.valued {
			s.spaces()
			p.value = s.value()
		}
		e.params = append(e.params, p)
	}
	return e
}

// token reads one or more of the characters of RFC 9110 section 5.6.2.
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isToken(s.rest[n]) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	s.failed = s.failed || word == ""
	return word
}

// value reads a token, or a quoted text whose content is one.
func (s *scanner) value() string {
	if !s.skip('"') {
		return s.token()
	}
	var b strings.Builder
	for !s.skip('"') {
		s.skip('\\')
		if s.rest == "" || !isToken(s.rest[0]) {
			s.failed = true
			return ""
		}
		b.WriteByte(s.rest[0])
		s.rest = s.rest[1:]
	}
	s.failed = s.failed || b.Len() == 0
	return b.String()
}

func isToken(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
}
