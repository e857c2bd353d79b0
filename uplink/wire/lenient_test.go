package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An error is never answered with an error: so none is malformed.
func TestErrorThatCannotBeTrueIsAnError(t *testing.T) {
	long := strings.Repeat("m", 2048)
	tooLong, err := CBOR.Encode(&Error{Code: "x", Message: long})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		codec *Codec
		b     []byte
	}{
		{JSON, []byte(`{"type":"error","code":7}`)},
		{JSON, []byte(`{"type":"error","code":"` + long + `"}`)},
		{JSON, []byte(`{"type":"error","code":"x","message":[]}`)},
		{CBOR, fromHex(t, "a200100a07")},
		{CBOR, tooLong},
	} {
		m, err := c.codec.Decode(c.b)
		if e, ok := m.(*Error); err != nil || !ok || e.validate() != nil || e.Code == "" {
			t.Errorf("%.60q became %+v, %v", c.b, m, err)
		}
	}
}

// A text that is no UTF-8 is refused, also where nobody would read it.
func TestTextInUnknownFieldMustBeUTF8(t *testing.T) {
	for _, text := range []string{"a3000c0a01186361ff", "a3000c0a0118638161ff", "a3000c0a011863a161ff01"} {
		if m, err := CBOR.Decode(fromHex(t, text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s became %+v, %v", text, m, err)
		}
	}
	if _, err := CBOR.Decode(fromHex(t, "a3000c0a01186362c3a9")); err != nil {
		t.Error(err)
	}
}

// Every form of RFC 3339 is read. What is no time is told by the stamp of a row
// and of a bare reading, and is malformed everywhere else.
func TestTimesOfRFC3339(t *testing.T) {
	row := func(stamp string) string {
		return fmt.Sprintf(`{"type":"update","lane":"live","epoch":"9f0102030405060708090a0b0c0d0e0f","first":1,"n":1,"readings":[`+
			`{"device_id":"d","quantity":"q","value":1,"unit":"","timestamp":%q,"quality":"good","time":"ntp"}]}`, stamp)
	}
	at := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC)
	for stamp, want := range map[string]time.Time{
		"2026-11-28T20:00:00Z": at, "2026-11-28t20:00:00z": at, "2026-11-28t21:00:00+01:00": at,
		"2026-11-28T20:00:60Z": at.Add(59_999 * time.Millisecond), "2026-11-28t20:00:60.25z": at.Add(59_999 * time.Millisecond),
		"2016-12-31T18:59:60-05:00": time.Date(2016, 12, 31, 23, 59, 59, 999e6, time.UTC),
	} {
		m, err := JSON.Decode([]byte(row(stamp)))
		u, ok := m.(*Update)
		if !ok || u.Readings[0].Timestamp != Time(want.UnixMicro()) {
			t.Errorf("%s became %+v, %v", stamp, m, err)
		}
	}
	for _, stamp := range []string{
		"", "yesterday", "2026-11-28", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-11-28T20:00:61Z", "2026-11-28T20:00:60", "2026-11-28T20:00:00,5Z", "2026-11-28T2:00:00Z",
		"2026-11-28T20:00:00+24:00", "2026-11-28T20:00:00-00:60", "2026-11-28 20:00:00Z",
	} {
		m, err := JSON.Decode([]byte(row(stamp)))
		if u, ok := m.(*Update); !ok || u.Readings[0].Timestamp.Readable() {
			t.Errorf("row at %q became %+v, %v", stamp, m, err)
		}
		m, err = JSON.Decode(fmt.Appendf(nil, `{"device_id":"d","value":1,"timestamp":%q}`, stamp))
		if b, ok := m.(*Bare); !ok || b.Timestamp.Readable() {
			t.Errorf("bare at %q became %+v, %v", stamp, m, err)
		}
		if _, err := JSON.Decode(fmt.Appendf(nil, `{"type":"result","id":"c","state":"done","at":%q}`, stamp)); !errors.Is(err, ErrMalformed) {
			t.Errorf("result at %q: %v", stamp, err)
		}
	}
	if _, err := JSON.Decode([]byte(strings.Replace(row("x"), `"x"`, "5", 1))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a number as timestamp: %v", err)
	}
}
