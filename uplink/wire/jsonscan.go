package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxNesting = 8   // of a message, its own braces counted
	maxMembers = 256 // of one object
	maxList    = 256 // elements of a list, rows excepted
	leastRow   = 100 // bytes of a row, at least: what is shorter lacks a field
)

// scanEnvelope checks what encoding/json leaves open, before anything is
// allocated for the message: one object and nothing behind it, UTF-8 and whole
// surrogate pairs, no key twice in one object, bounded nesting, lists and
// bodies. It gives the message back with those keys of the envelope blotted
// out that encoding/json would take for another key in small letters.
func scanEnvelope(b []byte) ([]byte, error) {
	s := scanner{in: b, out: b}
	if open := bytes.TrimLeft(b, " \t\r\n"); len(open) == 0 || open[0] != '{' {
		return nil, errors.New("is not a JSON object")
	}
	if err := s.scan(); err != nil {
		return nil, err
	}
	return s.out, nil
}

// scanInner checks JSON that travels inside of a message: a body or args.
func scanInner(b []byte) error {
	s := scanner{in: b, depth: 1, inner: true}
	return s.scan()
}

// A level is one object or list that is open.
type level struct {
	object bool
	key    bool // the next text is a key
	n      int  // commas seen
	limit  int
	keys   [][]byte
}

// A scanner walks once through text that json.Valid has passed.
type scanner struct {
	in, out []byte
	levels  [maxNesting + 1]level
	depth   int    // levels[depth] is the open one; those from 1 on are used
	name    []byte // the envelope's key whose value is being read
	inner   bool   // that value is a body or args: its keys are its own affair
}

func (s *scanner) scan() error {
	if !utf8.Valid(s.in) {
		return errors.New("is not UTF-8")
	}
	if !json.Valid(s.in) {
		return errors.New("is not JSON")
	}
	for i := 0; i < len(s.in); i++ {
		var err error
		switch s.in[i] {
		case '{', '[':
			err = s.open(i)
		case '}', ']':
			s.depth--
		case ',':
			err = s.next()
		case '"':
			i, err = s.text(i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) open(i int) error {
	if s.depth == maxNesting {
		return fmt.Errorf("is nested deeper than %d", maxNesting)
	}
	s.depth++
	object := s.in[i] == '{'
	s.levels[s.depth] = level{object: object, key: object, limit: s.limit(object), keys: s.levels[s.depth].keys[:0]}
	return nil
}

// limit says how many members or elements what is opened now may have.
func (s *scanner) limit(object bool) int {
	rows := string(s.name) == "readings" || string(s.name) == "thinned_rows"
	switch {
	case object:
		return maxMembers
	case s.inner:
		return MaxEventBody
	case rows && s.depth == 2:
		return min(MaxBlockN, max(maxList, len(s.in)/leastRow))
	}
	return maxList
}

func (s *scanner) next() error {
	l := &s.levels[s.depth]
	l.n++
	l.key = l.object
	if l.n >= l.limit {
		return fmt.Errorf("an object or list in %.40q has more than %d elements", s.name, l.limit)
	}
	return nil
}

// text steps over the text that begins at i.
func (s *scanner) text(i int) (int, error) {
	end, err := textEnd(s.in, i)
	if err != nil {
		return end, err
	}
	l := &s.levels[s.depth]
	if !l.key {
		return end, nil
	}
	l.key = false
	return end, s.member(l, i+1, end)
}

// member takes the key in[from:to] of an object.
func (s *scanner) member(l *level, from, to int) error {
	key := s.in[from:to]
	if bytes.IndexByte(key, '\\') >= 0 {
		var text string
		if err := json.Unmarshal(s.in[from-1:to+1], &text); err != nil {
			return err
		}
		key = []byte(text)
	}
	for _, other := range l.keys {
		if bytes.Equal(key, other) {
			return fmt.Errorf("has the key %.40q twice", key)
		}
	}
	l.keys = append(l.keys, key)
	if s.depth == 1 {
		s.name, s.inner = key, string(key) == "body" || string(key) == "args"
	}
	if s.depth == 1 || !s.inner && string(s.name) != "figures" {
		s.blot(key, from, to)
	}
	return nil
}

// blot makes a key unknown that only folding would make a known one.
func (s *scanner) blot(key []byte, from, to int) {
	folds := func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf }
	if bytes.IndexFunc(key, folds) < 0 {
		return
	}
	if &s.out[0] == &s.in[0] {
		s.out = bytes.Clone(s.in)
	}
	for i := from; i < to; i++ {
		s.out[i] = '~'
	}
}

// textEnd gives where the text that begins at i has its closing quote. Escaped
// surrogates must come in pairs: alone they are no character.
func textEnd(b []byte, i int) (int, error) {
	for i++; b[i] != '"'; i++ {
		if b[i] != '\\' {
			continue
		}
		i++
		if b[i] != 'u' || !utf16.IsSurrogate(hex4(b[i+1:])) {
			continue
		}
		pair := b[i+5:]
		if pair[0] != '\\' || pair[1] != 'u' || utf16.DecodeRune(hex4(b[i+1:]), hex4(pair[2:])) == utf8.RuneError {
			return i, errors.New("has half a surrogate pair")
		}
		i += 10
	}
	return i, nil
}

// hex4 reads four hex digits, which json.Valid has seen.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		d := rune(c) - '0'
		if c >= 'A' {
			d = rune(c|0x20) - 'a' + 10
		}
		r = r<<4 | d
	}
	return r
}
