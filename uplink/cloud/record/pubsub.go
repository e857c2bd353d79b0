package record

import (
	"context"
	"errors"
)

// ErrNobody is what Request says when nobody has subscribed.
var ErrNobody = errors.New("nobody listens")

// A PubSub carries messages between the servers of one cloud, and within one. It
// keeps nothing. Subjects are words joined by dots; in Subscribe, "*" is any word and
// a last ">" any words.
type PubSub interface {
	// Publish sends to all who have subscribed now. It does not wait for them.
	Publish(subject string, data []byte) error
	// Request sends to all who have subscribed and gives the first answer, or ErrNobody.
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	// Subscribe calls hear for every message, one at a time and in order, until stop.
	// What hear gives is the answer, if one was asked for; nil is none.
	Subscribe(subject string, hear func(subject string, data []byte) []byte) (stop func(), err error)
}
