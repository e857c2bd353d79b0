package record

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

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
