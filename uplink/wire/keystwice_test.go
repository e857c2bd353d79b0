package wire

import (
	"encoding/hex"
	"errors"
	"testing"
)

// No map of a message has a key twice, also in what nobody knows: fields and
// types of later versions, at any depth, and keys in more bytes than they need.
func TestNoKeyTwiceAnywhere(t *testing.T) {
	for name, text := range map[string]string{
		"known key":               "a3000c0a010a02",
		"unknown key":             "a4000c0a01186301186302",
		"in an unknown map":       "a3000c0a011863a2616101616102",
		"deeper":                  "a3000c0a01186382a161618100a16161a2616201616201",
		"numbers":                 "a3000c0a011863a201010102",
		"a number written longer": "a3000c0a011863a20101180102",
		"a text written longer":   "a3000c0a011863a261610178016102",
		"bytes":                   "a3000c0a011863a2416101416102",
		"a list":                  "a3000c0a011863a2810101810102",
		"true":                    "a3000c0a011863a2f501f502",
		"an unknown type":         "a20018630aa2616101616102",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v (%v)", name, m, err)
		}
	}
	for name, text := range map[string]string{
		"different keys":           "a3000c0a011863a3616101616202410103",
		"the same in two maps":     "a3000c0a01186382a1616101a1616102",
		"the same above and below": "a3000c0a011863a16161a1616102",
		"bytes and text":           "a3000c0a011863a2416101616101",
		"1 and -2":                 "a3000c0a011863a201012101",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"known key":         `{"type":"ping","t0":1,"t0":2}`,
		"unknown key":       `{"type":"ping","t0":1,"x":1,"x":2}`,
		"in an unknown map": `{"type":"ping","t0":1,"x":[{"a":{"b":1,"b":2}}]}`,
		"written otherwise": `{"type":"ping","t0":1,"x":{"a":1,"\u0061":2}}`,
		"an unknown type":   `{"type":"x","t0":{"a":1,"a":2}}`,
		"the type":          `{"type":"ping","t0":1,"type":"ping"}`,
	} {
		if m, err := JSON.Decode([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("JSON, %s: %+v (%v)", name, m, err)
		}
	}
}

func TestLookingForKeysAllocatesNothing(t *testing.T) {
	b, err := Encode(&Pong{T0: 1, T1: 2, T2: 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = noKeyTwice(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
