package record

import (
	"context"
	"errors"
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

// Retain is how long gateways keep what was acknowledged: so long the log may
// lose its newest records, and gets them again.
const Retain = 10 * time.Minute

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
