package wire

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The WebSocket subprotocols, in the order in which gateways offer them. One
// message is one envelope: a binary frame in CBOR, a text frame in JSON.
const (
	SubprotocolCBOR = "fieldgate.v1.cbor"
	SubprotocolJSON = "fieldgate.v1.json"
)

// A Codec is one of the two encodings.
type Codec struct {
	Subprotocol string
	Text        bool // frames are text, else binary
	Encode      func(Message) ([]byte, error)
	Decode      func([]byte) (Message, error)
}

// CBOR is the encoding that carries blocks as they are stored.
var CBOR = &Codec{Subprotocol: SubprotocolCBOR, Encode: Encode, Decode: Decode}

// CodecOf gives the codec of a subprotocol, nil for any other.
func CodecOf(subprotocol string) *Codec {
	switch subprotocol {
	case SubprotocolCBOR:
		return CBOR
	case SubprotocolJSON:
		return JSON
	}
	return nil
}

// ErrMalformed is a message that is not an envelope of this protocol, or one
// that cannot be true: it counts against the sender.
var ErrMalformed = errors.New("malformed message")

// An UnknownTypeError is a well-formed message of a type that this version
// does not know: it is answered with an error and ignored.
type UnknownTypeError struct {
	Type Type   // in CBOR
	Name string // in JSON
}

func (e *UnknownTypeError) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("unknown message type %.64q", e.Name)
	}
	return fmt.Sprintf("unknown message type %d", int(e.Type))
}

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortCoreDeterministic}.EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  8,
		MaxArrayElements: MaxHelloEpochs, // the longest array of any message; checked before it is allocated
		MaxMapPairs:      maxMapPairs,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

const maxMapPairs = 64 // of any map of any message

func must[M any](m M, err error) M {
	if err != nil {
		panic(err) // constants above are wrong; every test of this package sees it
	}
	return m
}

// Encode gives the envelope of m: one CBOR map with the type under key 0.
func Encode(m Message) ([]byte, error) {
	switch m := m.(type) {
	case *Bare:
		return nil, errors.New("encode reading without a name: it cannot be sent in CBOR")
	case *Update:
		if len(m.Readings) > 0 || len(m.ThinnedRows) > 0 {
			return nil, fmt.Errorf("encode update from seq %d: rows cannot be sent in CBOR", m.First)
		}
	}
	body, err := encMode.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message type %s: %w", m.messageType(), err)
	}
	// body is a map of fewer than 23 pairs whose keys are all above 0, and a
	// type is below 24: so one pair more in the head, and the pair itself
	// before the others, is again a map in deterministic order.
	out := make([]byte, 0, len(body)+2)
	out = append(out, body[0]+1, 0, byte(m.messageType()))
	return append(out, body[1:]...), nil
}

// Decode reads one envelope of at most MaxMessage bytes and checks that it can
// be true. The error is ErrMalformed, or an *UnknownTypeError. Byte strings of
// the result are copies.
func Decode(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, len(b), MaxMessage)
	}
	var head struct {
		Type Type `cbor:"0,keyasint"`
	}
	if err := decMode.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := noKeyTwice(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m := newMessage(head.Type)
	if m == nil {
		return nil, &UnknownTypeError{Type: head.Type}
	}
	return checked(m, decMode.Unmarshal(b, m))
}

func newMessage(t Type) Message {
	if make := messages[t]; make != nil {
		return make()
	}
	return nil
}

// messages makes an empty message of each type.
var messages = map[Type]func() Message{
	TypeHello:    func() Message { return new(Hello) },
	TypeWelcome:  func() Message { return new(Welcome) },
	TypeUpdate:   func() Message { return new(Update) },
	TypeEvent:    func() Message { return new(Event) },
	TypeAck:      func() Message { return new(Ack) },
	TypeNack:     func() Message { return new(Nack) },
	TypeStatus:   func() Message { return new(Status) },
	TypeCommand:  func() Message { return new(Command) },
	TypeResult:   func() Message { return new(Result) },
	TypeConfig:   func() Message { return new(Config) },
	TypeReported: func() Message { return new(Reported) },
	TypePing:     func() Message { return new(Ping) },
	TypePong:     func() Message { return new(Pong) },
	TypeDrain:    func() Message { return new(Drain) },
	TypeBye:      func() Message { return new(Bye) },
	TypeError:    func() Message { return new(Error) },
}

// checked gives m, of which failed says why it could not be decoded, if it can
// be true. An error is never answered with an error: one that cannot be true
// is one that says nothing more.
func checked(m Message, failed error) (Message, error) {
	if failed == nil {
		failed = m.validate()
	}
	if _, isError := m.(*Error); isError && failed != nil {
		return &Error{Code: "malformed", Message: "an error whose fields cannot be read"}, nil
	}
	if failed != nil {
		return nil, fmt.Errorf("%w: type %s: %w", ErrMalformed, m.messageType(), failed)
	}
	return m, nil
}
