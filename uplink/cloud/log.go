package cloud

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What a Log answers when it does not simply do what was asked.
var (
	// ErrNoRecord: the gateway has no record in the log.
	ErrNoRecord = errors.New("no record")
	// ErrFenced: the record was not stored, another stands in its place.
	ErrFenced = errors.New("another record stands in this place")
	// ErrFull: the record was not stored for want of space.
	ErrFull = errors.New("the log is full")
	// ErrUnavailable: the log did not answer. An append may have been stored,
	// or may yet be: only reading the newest record tells.
	ErrUnavailable = errors.New("the log does not answer")
)

// A Log keeps one chain of records per gateway on durable storage.
type Log interface {
	// Last gives the newest record of a gateway, or ErrNoRecord.
	Last(ctx context.Context, gatewayID string) (Record, error)
	// Append stores r behind the record with sequence after (0: as the first),
	// and nowhere else. On nil it is durable and seq is its sequence. The
	// errors that mean something are ErrFenced, ErrFull and ErrUnavailable; after any
	// other error the record may or may not be stored, as with ErrUnavailable.
	Append(ctx context.Context, gatewayID string, after uint64, r Record) (seq uint64, err error)
	// Read gives the records of a gateway with sequence from and above, oldest
	// first, up to the newest. It ends with an error if it cannot go on.
	Read(ctx context.Context, gatewayID string, from uint64) iter.Seq2[Record, error]
	// Level is the durability that Append stands for; gateways are told.
	Level() wire.Level
}

// A Kind says what a record holds.
type Kind string

// The kinds of records.
const (
	KindOpen    Kind = "open"    // a session began; no body
	KindUpdate  Kind = "update"  // readings, or an end alone
	KindGap     Kind = "gap"     // readings that will never come
	KindThinned Kind = "thinned" // summaries in place of readings
	KindEvent   Kind = "event"   // something that happened: Epoch and First are its name, N is 0
)

// A Record is one step of a gateway's chain. The chain of record ids makes a
// record void whose predecessor is not the one its writer knew.
type Record struct {
	Seq     uint64    // of the log; set by the log
	At      time.Time // when it was stored; set by the log
	ID      string    // random
	Prev    string    // ID of the predecessor; "" for the first record
	PrevSeq uint64    // Seq of the predecessor; 0 for the first record
	Kind    Kind
	Gen     uint64 // number of the session
	State   string // the whole resume state after this record
	Epoch   gateway.EpochID
	First   uint64 // readings below it are ignored: they are in an earlier record
	N       uint64 // readings or lost readings from First on
	Lane    wire.Lane
	Body    []byte // the envelope of the wire.Update or wire.Event, in CBOR
}

// An Entry is a record with the gateway whose it is.
type Entry struct {
	GatewayID string
	Record
}

// A BehindError is what a consumer answers that has less than the feed remembers
// of it, because its own memory was replaced by an older one: it is given the
// records behind Seq anew, as far as the log still has them.
type BehindError struct {
	Seq uint64    // the newest record that it has; 0: none
	At  time.Time // when that was stored
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("the consumer has nothing behind record %d", e.Seq)
}

// A Feed gives the records of all gateways in the order of the log, void ones
// included (see Chains).
type Feed interface {
	// Scan gives every record with sequence from and above, up to the newest
	// at the time of the call. It ends with an error if it cannot go on.
	Scan(ctx context.Context, from uint64) iter.Seq2[Entry, error]
	// Consume hands new and old records to take, in order and in batches of at
	// most batch, until ctx is done. The log remembers under the consumer's
	// name how far take has come: what it answered with nil is not given
	// again, what it answered with an error is, after a pause; after a crash
	// the newest batch may come twice. A BehindError makes the log go back for
	// good. While a consumer is known, the log purges nothing that it has not
	// passed.
	Consume(ctx context.Context, name string, batch int, take func(context.Context, []Entry) error) error
	// Purge deletes records older than age that every known consumer has
	// passed, except the newest of each gateway, which carries its state.
	Purge(ctx context.Context, age time.Duration) error
}

// A ConsumerState is how far a consumer of a feed has come.
type ConsumerState struct {
	Name   string
	Behind uint64    // records that it has not passed
	Oldest time.Time // when the oldest of these was stored; zero: there is none
	Used   bool      // some server, or another program, consumes under this name now
	Seen   time.Time // when one was last heard of; zero: not known
}

// What Forget says of a consumer that it does not forget.
var (
	// ErrNoConsumer: there is none of this name.
	ErrNoConsumer = errors.New("no such consumer")
	// ErrConsumerUsed: records are consumed under this name now.
	ErrConsumerUsed = errors.New("the consumer is in use")
)

// A Gauge is a Feed that also tells which consumers it knows.
type Gauge interface {
	// Consumers tells of those of Consume and of those that other programs have
	// made on the log: of all for which Purge waits.
	Consumers(ctx context.Context) ([]ConsumerState, error)
	// Forget has the log wait no longer for a consumer, or says ErrNoConsumer
	// or ErrConsumerUsed. Under its name the next Consume begins with the
	// oldest record that the log then has.
	Forget(ctx context.Context, name string) error
}

// A Doc is a small document on the shelf.
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

// A Shelf keeps small documents durably, by key: "ledger.plant-7.9f…". Keys
// are words of [A-Za-z0-9_-] joined by dots; the first word is the kind.
// Errors other than ErrNoDoc and ErrRevision mean that the shelf does not
// answer; a Put may then have been done or not.
type Shelf interface {
	Get(ctx context.Context, key string) (Doc, error)
	// Put makes a document durable. rev is what it is expected to be at: 0
	// there is none, AnyRev whatever is there. It is deleted by itself after
	// ttl, if ttl is above 0.
	Put(ctx context.Context, key string, body []byte, rev uint64, ttl time.Duration) (uint64, error)
	Delete(ctx context.Context, key string) error
	// List gives the documents whose keys begin with these whole words. One
	// that changes meanwhile may come twice, the newer one last.
	List(ctx context.Context, prefix string) iter.Seq2[Doc, error]
	// Watch tells of every change to a document whose key begins with these
	// words, after those that are there, until ctx is done.
	Watch(ctx context.Context, prefix string, tell func(Doc)) error
}

// AnyRev lets Put replace whatever there is.
const AnyRev = ^uint64(0)

// ErrNobody is what Ask says when nobody listens.
var ErrNobody = errors.New("nobody listens")

// A Bus carries messages between the servers of one cloud, and within one. It
// keeps nothing. Subjects are words joined by dots; in On, "*" is any word and
// a last ">" any words.
type Bus interface {
	// Tell sends to all who listen now. It does not wait for them.
	Tell(subject string, data []byte) error
	// Ask sends to all who listen and gives the first answer, or ErrNobody.
	Ask(ctx context.Context, subject string, data []byte) ([]byte, error)
	// On calls hear for every message, one at a time and in order, until stop.
	// What hear gives is the answer, if one was asked for; nil is none.
	On(subject string, hear func(subject string, data []byte) []byte) (stop func(), err error)
}
