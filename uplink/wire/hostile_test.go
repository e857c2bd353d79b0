package wire

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// Nonsense of a megabyte costs a receiver no more than some more megabytes.
func TestNonsenseIsCheap(t *testing.T) {
	const most = 8 << 20
	update := `{"type":"update","lane":"live","epoch":"9f0102030405060708090a0b0c0d0e0f","first":1,"n":65536,`
	fill := func(head, unit, tail string) []byte {
		return []byte(head + strings.Repeat(unit, (MaxMessage-len(head)-len(tail))/len(unit)) + tail)
	}
	for name, c := range map[string]struct {
		codec   *Codec
		message []byte
	}{
		"lists in lists":         {JSON, fill("", "[", "")},
		"objects in objects":     {JSON, fill("", `{"a":`, "")},
		"empty rows":             {JSON, fill(update+`"readings":[`, `{},`, `{}]}`)},
		"as many rows as may be": {JSON, fill(update+`"readings":[`, `{"x":"`+strings.Repeat("x", leastRow-8)+`"},`, `{}]}`)},
		"numbers for rows":       {JSON, fill(update+`"readings":[`, `0,`, `0]}`)},
		"thinned rows":           {JSON, fill(update+`"thinned_rows":[`, `{"x":"`+strings.Repeat("x", leastRow-8)+`"},`, `{}]}`)},
		"short rows":             {JSON, []byte(update + `"readings":[` + strings.Repeat(`{},`, MaxBlockN-1) + `{}]}`)},
		"many keys":              {JSON, fill(`{"type":"ping"`, `,"x":1`, `}`)},
		"many keys in a body":    {JSON, fill(`{"type":"event","body":{"a":0`, `,"x":1`, `}}`)},
		"a long list in a body":  {JSON, fill(`{"type":"event","body":[0`, `,1`, `]}`)},
		"a long text":            {JSON, fill(`{"type":"`, `\u0041`, `"}`)},
		"a long key":             {JSON, fill(`{"`, `\u0041`, `":1}`)},
		"CBOR: a list of 2^32":   {CBOR, []byte{0xa2, 0, 5, 10, 0x9a, 0xff, 0xff, 0xff, 0xff}},
		"CBOR: bytes of 2^32":    {CBOR, []byte{0xa2, 0, 3, 16, 0x5a, 0xff, 0xff, 0xff, 0xff}},
		"CBOR: lists in lists":   {CBOR, bytes.Repeat([]byte{0x81}, MaxMessage)},
		"CBOR: maps of 64":       {CBOR, append([]byte{0xa2, 0, 7, 12, 0xb8, 65}, bytes.Repeat([]byte{0x61, 'a', 0}, 65)...)},
		"CBOR: 256 times 256 lists": {CBOR, append([]byte{0xa2, 0, 5, 10},
			bytes.Repeat(append([]byte{0x99, 1, 0}, bytes.Repeat([]byte{0x80}, 256)...), 256)...)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := c.codec.Decode(c.message)
		runtime.ReadMemStats(&after)
		var unknown *UnknownTypeError
		if !errors.Is(err, ErrMalformed) && !errors.As(err, &unknown) {
			t.Errorf("%s: %T, %v", name, m, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: %d KiB were allocated for a message of %d KiB", name, used>>10, len(c.message)>>10)
		} else {
			t.Logf("%s: %d KiB for %d KiB", name, used>>10, len(c.message)>>10)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}
