package config

import (
	"bytes"
)

// What a configuration may have. Every key of ours fits in a hundredth of it.
const (
	valuesMost = 1 << 16 // keys, headers and elements of lists, of all files together
	depthMost  = 16      // brackets within brackets, and parts of a dotted key
)

// bounded looks at the expression that begins at or after from, a header or a
// key with its value, before the parser does. It tells whether the parser may
// go on; if not, that is told.
func (b *treeBuilder) bounded(from int) bool {
	s := scan{data: b.src.data, at: b.skipBlank(from)}
	start := s.at
	values, deep := s.expression()
	*b.left -= values
	switch {
	case deep:
		b.col.add(place{b.src, s.at}, "", "this is nested deeper than any key is: at most %d levels are read, and nothing behind this", depthMost)
	case *b.left < 0:
		b.col.add(place{b.src, start}, "", "this configuration has more than %d values; nothing behind this is read", valuesMost)
	default:
		return true
	}
	b.over = true
	return false
}

// A scan walks over one expression. It knows just enough of TOML to tell
// strings and comments from brackets; where the text is not TOML it may stop
// early, as the parser will.
type scan struct {
	data []byte
	at   int
}

// expression walks to the end of the expression, or to where it is too deep.
func (s *scan) expression() (values int, deep bool) {
	brackets, dots := 0, 0
	values = 1
	for ; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '[', '{':
			brackets++
			dots = 0
		case ']', '}':
			brackets--
		case '.':
			dots++
		case ',', '=':
			values++
			dots = 0
		case '#':
			s.to("\n")
			s.at-- // the line's end is looked at
		case '\n':
			if brackets <= 0 {
				return values, false
			}
		case '"', '\'':
			s.quoted()
		}
		if brackets > depthMost || dots > depthMost {
			return values, true
		}
	}
	return values, false
}

// quoted walks to the closing quote of a string.
func (s *scan) quoted() {
	quote := s.data[s.at : s.at+1]
	if three := bytes.Repeat(quote, 3); bytes.HasPrefix(s.data[s.at:], three) {
		s.at += 3
		s.closing(three, false)
		// Up to two more quotes belong to the string.
		for i := 0; i < 2 && s.at+1 < len(s.data) && s.data[s.at+1] == quote[0]; i++ {
			s.at++
		}
		return
	}
	s.at++
	s.closing(quote, true)
}

// closing walks to the last byte of the end of a string, or to the end of its
// line if that is not closed.
func (s *scan) closing(end []byte, oneLine bool) {
	for ; s.at < len(s.data); s.at++ {
		switch {
		case s.data[s.at] == '\\' && end[0] == '"':
			s.at++
		case s.data[s.at] == '\n' && oneLine:
			s.at-- // the line's end is looked at
			return
		case bytes.HasPrefix(s.data[s.at:], end):
			s.at += len(end) - 1
			return
		}
	}
}

// to walks to the next end, or to the end of the data.
func (s *scan) to(end string) {
	n := bytes.Index(s.data[s.at:], []byte(end))
	if n < 0 {
		n = len(s.data) - s.at
	}
	s.at += n
}
