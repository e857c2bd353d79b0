package record

import (
	"context"
	"errors"
	"iter"
	"time"
)

// A Doc is a small document of a KV.
type Doc struct {
	Key  string
	Rev  uint64 // changes with every change
	At   time.Time
	Body []byte // nil: deleted (only from Watch)
}

// ErrNoDoc is what Get says of a key that has no document; ErrRevision what
// Put says when the document is at another revision.
var (
	ErrNoDoc    = errors.New("no such document")
	ErrRevision = errors.New("the document has changed meanwhile")
)

// A KV keeps small documents durably, by key: "ledger.plant-7.9f…". Keys
// are words of [A-Za-z0-9_-] joined by dots; the first word is the kind.
// Errors other than ErrNoDoc and ErrRevision mean that the KV does not
// answer; a Put may then have been done or not.
type KV interface {
	// Get gives a document, or ErrNoDoc.
	Get(ctx context.Context, key string) (Doc, error)
	// Put makes a document durable. rev is what it is expected to be at: 0
	// there is none, AnyRev whatever is there. It is deleted by itself after
	// ttl, if ttl is above 0.
	Put(ctx context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error)
	// Delete takes a document away; to delete one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// List gives the documents whose keys begin with these whole words. One
	// that changes meanwhile may come twice, the newer one last.
	List(ctx context.Context, prefix string) iter.Seq2[Doc, error]
	// Watch notifies of every change to a document whose key begins with these
	// words, after those that are there, until ctx is done.
	Watch(ctx context.Context, prefix string, notify func(Doc)) error
}

// AnyRev lets Put replace whatever there is.
const AnyRev = ^uint64(0)
