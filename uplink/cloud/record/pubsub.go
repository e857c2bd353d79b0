package record

import (
	"context"
	"errors"
)

// ErrNobody is what Ask says when nobody listens.
var ErrNobody = errors.New("nobody listens")

// A PubSub carries messages between the servers of one cloud, and within one. It
// keeps nothing. Subjects are words joined by dots; in On, "*" is any word and
// a last ">" any words.
type PubSub interface {
	// Tell sends to all who listen now. It does not wait for them.
	Tell(subject string, data []byte) error
	// Ask sends to all who listen and gives the first answer, or ErrNobody.
	Ask(ctx context.Context, subject string, data []byte) ([]byte, error)
	// On calls hear for every message, one at a time and in order, until stop.
	// What hear gives is the answer, if one was asked for; nil is none.
	On(subject string, hear func(subject string, data []byte) []byte) (stop func(), err error)
}
