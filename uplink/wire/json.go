package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JSON is the encoding that anything can read. Readings travel in it as rows,
// never as blocks.
var JSON = &Codec{Subprotocol: SubprotocolJSON, Text: true, Encode: encodeJSON, Decode: decodeJSON}

// encodeJSON gives the envelope of m: one JSON object whose first member is
// the type. Blocks and thinned blocks have no form in JSON: an update that
// carries them is an error.
func encodeJSON(m Message) ([]byte, error) {
	if u, ok := m.(*Update); ok && (len(u.Blocks) > 0 || len(u.Thinned) > 0 || len(u.Packed) > 0) {
		return nil, fmt.Errorf("encode update from seq %d: blocks cannot be sent in JSON", u.First)
	}
	name := m.messageType().String()
	var body bytes.Buffer
	to := json.NewEncoder(&body)
	to.SetEscapeHTML(false)
	if err := to.Encode(listed(m)); err != nil {
		return nil, fmt.Errorf("encode message type %s: %w", name, err)
	}
	b := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	if _, bare := m.(*Bare); bare {
		return b, nil // it says itself what it is
	}
	out := make([]byte, 0, len(b)+24)
	out = fmt.Appendf(out, `{"type":"%s",`, name)
	return append(out, b[1:]...), nil // no message is without members
}

// listed gives m with empty lists in the place of missing ones: in JSON, the
// message types of foreign programs have lists, not null.
func listed(m Message) Message {
	switch m := m.(type) {
	case *Hello:
		c := *m
		c.Epochs = orEmpty(c.Epochs)
		return &c
	case *Welcome:
		c := *m
		c.Epochs = orEmpty(c.Epochs)
		return &c
	case *Ack:
		c := *m
		c.Epochs = orEmpty(c.Epochs)
		return &c
	case *Status:
		c := *m
		c.Health = orEmpty(c.Health)
		c.Devices = append([]StatusDevice{}, c.Devices...)
		for i := range c.Devices {
			c.Devices[i].Channels = orEmpty(c.Devices[i].Channels)
		}
		return &c
	}
	return m
}

func orEmpty[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}

// decodeJSON reads one envelope of at most MaxMessage bytes and checks that it
// can be true. An object that is a reading of a simple client becomes a *Bare.
// The error is ErrMalformed, or an *UnknownTypeError. A null is the same as a
// missing field.
func decodeJSON(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, len(b), MaxMessage)
	}
	b, err := scanEnvelope(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var head struct {
		Type   *string          `json:"type"`
		Device *json.RawMessage `json:"device_id"`
		Value  json.RawMessage  `json:"value"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	t := Type(0)
	if head.Type != nil {
		t = typeNamed(*head.Type)
	}
	m := newMessage(t)
	switch {
	case (m == nil || t == TypeUpdate) && head.Device != nil && head.Value != nil:
		m = new(Bare)
	case head.Type == nil, *head.Type == "":
		return nil, fmt.Errorf("%w: has no type", ErrMalformed)
	case m == nil:
		return nil, &UnknownTypeError{Name: *head.Type}
	}
	return checked(m, json.Unmarshal(b, m))
}
