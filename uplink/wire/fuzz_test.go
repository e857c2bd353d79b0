package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/fieldgate/fieldgate/gateway"
)

// FuzzDecode: no input brings Decode down, and whatever it takes is encoded
// to a frame that it takes again with the same meaning.
func FuzzDecode(f *testing.F) {
	for _, m := range golden() {
		b, _ := Encode(m)
		f.Add(b)
	}
	f.Add([]byte{0xba, 0xff, 0xff, 0xff, 0xff, 0, 0x0c})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := decoded(t, CBOR, b)
		if m == nil {
			return
		}
		again(t, CBOR, m)
		if u, ok := m.(*Update); !ok || len(u.Blocks)+len(u.Thinned)+len(u.Packed) == 0 {
			again(t, JSON, inMillis(m))
		}
	})
}

// FuzzDecodeJSON: the same for JSON; and what is taken as JSON is what a
// strict reader of another make takes.
func FuzzDecodeJSON(f *testing.F) {
	for _, m := range inJSON() {
		b, _ := JSON.Encode(m)
		f.Add(b)
	}
	f.Add([]byte(`{"type":"ping","\u0054ype":[[[[[[[]]]]]]],"x":"\ud83d\ude00","T0":{"a":1e5}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := decoded(t, JSON, b)
		if _, err := scanEnvelope(b); err == nil && !strictJSON(b) {
			t.Fatalf("taken for JSON: %q", b)
		} else if err != nil && strictJSON(b) && !beyondLimits(b) {
			t.Fatalf("%v: %q", err, b)
		}
		if m == nil {
			return
		}
		if !readable(m) {
			return // no encoder writes a stamp that is none
		}
		again(t, JSON, m)
		_, bare := m.(*Bare)
		if u, ok := m.(*Update); !bare && (!ok || len(u.Readings)+len(u.ThinnedRows) == 0) {
			again(t, CBOR, m)
		}
	})
}

// FuzzCommandJSON: a command that the decoder lets through can be filed, can
// be done, and ends.
func FuzzCommandJSON(f *testing.F) {
	f.Add("c-17", "pump", "set", "1", `{"ramp_s":5}`, "60000", `"2025-05-29T12:45:00.000Z"`)
	f.Add("", "", "", "null", `[]`, "-1", `null`)
	f.Add("a.b", "*", ">", "1e999", `{"a":1,"a":2}`, "604800001", `"2025-05-29T12:45:00+25:00"`)
	f.Fuzz(func(t *testing.T, id, device, action, value, args, ttl, expires string) {
		b := commandText(id, device, action) + `,"value":` + value + `,"args":` + args + `,"ttl_ms":` + ttl + `,"expires":` + expires + `}`
		m := decoded(t, JSON, []byte(b))
		c, ok := m.(*Command)
		if !ok {
			return // one of the parts closes the object, or repeats a key
		}
		if !gateway.ValidID(c.ID) || !gateway.ValidID(c.Device) || !gateway.ValidID(c.Action) ||
			c.TTLMS < 0 || c.TTLMS > MaxCommandTTL.Milliseconds() || c.LeaseMS < 0 ||
			c.Value != nil && (math.IsNaN(*c.Value) || math.IsInf(*c.Value, 0)) ||
			len(c.Args) > MaxEventBody || c.Args != nil && !json.Valid(c.Args) {
			t.Fatalf("%s\nbecame %+v", b, c)
		}
		again(t, JSON, c)
		again(t, CBOR, c)
	})
}

func commandText(id, device, action string) string {
	b, _ := json.Marshal(map[string]string{"type": "command", "id": id, "device_id": device, "action": action})
	return strings.TrimSuffix(string(b), "}")
}

// decoded gives what b holds, nil if it is refused in one of the two ways in
// which a message may be.
func decoded(t *testing.T, c *Codec, b []byte) Message {
	t.Helper()
	before := bytes.Clone(b)
	m, err := c.Decode(b)
	if !bytes.Equal(b, before) {
		t.Fatalf("decoding changed %q to %q", before, b)
	}
	var unknown *UnknownTypeError
	if err != nil && !errors.Is(err, ErrMalformed) && !errors.As(err, &unknown) {
		t.Fatalf("unclassified error %v", err)
	}
	if (err == nil) != (m != nil) {
		t.Fatalf("%+v and %v", m, err)
	}
	return m
}

// again sends m through c: it must come out as it went in.
func again(t *testing.T, c *Codec, m Message) {
	t.Helper()
	b, err := c.Encode(m)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	m2, err := c.Decode(b)
	if err != nil {
		t.Fatalf("%+v became %s: %v", m, b, err)
	}
	if !same(m, m2) {
		t.Fatalf("%+v became %+v in %s", m, m2, c.Subprotocol)
	}
}

// same compares messages: no list is an empty list, and JSON inside of them is
// the same with and without white space.
func same(a, b Message) bool {
	return reflect.DeepEqual(tidy(reflect.ValueOf(a)), tidy(reflect.ValueOf(b)))
}

// tidy gives a value as plain maps and lists.
func tidy(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return tidy(v.Elem())
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			fields[v.Type().Field(i).Name] = tidy(v.Field(i))
		}
		return fields
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			var out bytes.Buffer
			_ = json.Compact(&out, raw)
			return out.String()
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, tidy(v.Index(i)))
		}
		return list
	case reflect.Map:
		pairs := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			pairs[it.Key().String()] = tidy(it.Value())
		}
		return pairs
	}
	return v.Interface()
}

// inMillis gives m with its times as JSON writes them.
func inMillis(m Message) Message {
	b, _ := encMode.Marshal(m)
	c := newMessage(m.messageType())
	_ = decMode.Unmarshal(b, c)
	down := func(t *Time) { *t = Time(floorDiv(int64(*t), 1000) * 1000) }
	switch c := c.(type) {
	case *Hello:
		down(&c.Backlog.OldestTS)
	case *Welcome:
		down(&c.Time)
	case *Status:
		for i := range c.Health {
			down(&c.Health[i].Since)
		}
	case *Command:
		down(&c.Expires)
	case *Result:
		down(&c.At)
	}
	return c
}

// strictJSON asks another reader of JSON whether b is one object of unique
// keys in UTF-8.
func strictJSON(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	if d.PeekKind() != '{' || d.SkipValue() != nil {
		return false
	}
	_, err := d.ReadToken()
	return err == io.EOF
}

// beyondLimits reports whether b is nested too deep, or anything in it has
// more elements than scanEnvelope takes in its narrowest place.
func beyondLimits(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.ReadToken(); err != nil {
			return false
		}
		if d.StackDepth() > maxNesting {
			return true
		}
		if kind, n := d.StackIndex(d.StackDepth()); kind != 0 && n >= maxList {
			return true
		}
	}
}

// readable reports whether m has no stamp that could not be read.
func readable(m Message) bool {
	switch m := m.(type) {
	case *Bare:
		return m.Timestamp.Readable()
	case *Update:
		for _, r := range m.Readings {
			if !r.Timestamp.Readable() {
				return false
			}
		}
		for _, r := range m.ThinnedRows {
			if !r.Timestamp.Readable() {
				return false
			}
		}
	}
	return true
}
