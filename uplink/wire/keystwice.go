package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

var (
	errKeyTwice = errors.New("a key comes twice in a map")
	errNotUTF8  = errors.New("a text is not UTF-8")
)

// noKeyTwice looks at every map and every text of a well-formed item with definite lengths:
// the codec library looks only at those that it decodes, not at what stands in
// fields that nobody knows. It allocates nothing.
func noKeyTwice(b []byte) error {
	_, err := walk(b)
	return err
}

// An itemHead is the beginning of an item: its major type, and its value or
// length.
type itemHead struct {
	major byte
	n     uint64
	size  int // of the head itself
}

// headOf reads the head of a well-formed item.
func headOf(b []byte) itemHead {
	h := itemHead{major: b[0] >> 5, n: uint64(b[0] & 0x1f), size: 1}
	switch h.n {
	case 24:
		h.n, h.size = uint64(b[1]), 2
	case 25:
		h.n, h.size = uint64(binary.BigEndian.Uint16(b[1:])), 3
	case 26:
		h.n, h.size = uint64(binary.BigEndian.Uint32(b[1:])), 5
	case 27:
		h.n, h.size = binary.BigEndian.Uint64(b[1:]), 9
	}
	return h
}

// walk gives what stands behind an item.
func walk(b []byte) ([]byte, error) {
	h := headOf(b)
	b = b[h.size:]
	switch h.major {
	case 2: // bytes
		return b[h.n:], nil
	case 3: // text
		if !utf8.Valid(b[:h.n]) {
			return nil, errNotUTF8
		}
		return b[h.n:], nil
	case 4: // array
		for range h.n {
			var err error
			if b, err = walk(b); err != nil {
				return nil, err
			}
		}
	case 5:
		return walkMap(b, h.n)
	}
	return b, nil
}

// walkMap gives what stands behind a map of n pairs, of which the decoder has
// made sure that there are few.
func walkMap(b []byte, n uint64) ([]byte, error) {
	var seen [maxMapPairs][]byte
	for i := range n {
		key := b
		rest, err := walk(b)
		if err != nil {
			return nil, err
		}
		key = key[:len(key)-len(rest)]
		for _, other := range seen[:i] {
			if sameKey(key, other) {
				return nil, errKeyTwice
			}
		}
		seen[i] = key
		if b, err = walk(rest); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// sameKey compares keys by value: a number or a length may be written in more
// bytes than it needs. Keys that are lists or maps, which nobody here knows,
// are compared as they are written.
func sameKey(a, b []byte) bool {
	x, y := headOf(a), headOf(b)
	if x.major != y.major || x.major == 4 || x.major == 5 || x.major == 7 {
		return bytes.Equal(a, b)
	}
	return x.n == y.n && bytes.Equal(a[x.size:], b[y.size:])
}
