package uplink

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// A Source is what the uplink needs from the store. Its methods are called
// from two goroutines at a time.
type Source interface {
	Readings
	Events
	// Session says on what terms acks are given from now on: fsynced says that
	// an acknowledged reading is on the cloud's disk; nothing may be forgotten
	// before an ack at least retain later has come.
	Session(fsynced bool, retain time.Duration)
}

// Readings are the epochs of a Source.
type Readings interface {
	// Next returns what the epoch has at seq: the block or gap that contains
	// it, or the end of an epoch that has ended. It waits (until ctx is done)
	// only where an epoch still grows and has nothing at seq yet. A block
	// encoded for this call is at most maxBytes long; a stored one is given as
	// it is. Block.Data is not written to, and may be shared.
	Next(ctx context.Context, e gateway.EpochID, seq uint64, maxBytes int) (gateway.Block, error)
	// Ack records that the cloud holds this epoch up to and including upto, and
	// with done its end too. Acks repeat, may exceed what the store has, and
	// may go back: the cloud's last word counts. It does not wait for the card.
	Ack(e gateway.EpochID, upto uint64, done bool) error
	// Epochs lists what is unfinished, oldest first, then what is finished but
	// still held, and the growing epoch last.
	Epochs() []gateway.EpochState
	// KnowsAll reports whether Epochs lists all that the store may hold: not
	// while a part of it cannot be read. Then the cloud is not told that what
	// is missing from the list is gone.
	KnowsAll() bool
	// Split begins a new epoch, so that new readings need not wait behind a
	// backlog.
	Split() (gateway.EpochID, error)
}

// Events are the events of a Source. They are sent to a cloud whose welcome
// speaks of events.
type Events interface {
	// NextEvents gives up to n events behind one that is named, in order;
	// behind a name that is not held, those that the cloud does not have. If
	// there are none, wait is closed when one comes.
	NextEvents(after gateway.Name, n int) (events []gateway.Event, wait <-chan struct{})
	// AckEvents records that the cloud has all events up to one. It may go back.
	AckEvents(upto gateway.Name)
	// LastEvent names the newest event of this opening (Seq 0: none yet), and
	// the newest one that the cloud is believed to hold.
	LastEvent() (newest, acked gateway.Name)
}

// A Clock is the board's own time.
type Clock interface {
	Stamp() gateway.Stamp   // now
	Anchor() gateway.Anchor // of this boot, the best known now
}

// Conditions is where the uplink tells what is wrong; health.Table is one.
// Telling what holds already must not be logged again.
type Conditions interface {
	Raise(code, subject string, severity health.Severity, sentence string)
	Clear(code, subject, sentence string)
}

// finished reports whether nothing of the epoch is left to send, by what the
// cloud said of it. The cloud's "done" ends an epoch only together with
// everything in it.
func finished(st gateway.EpochState, upto uint64, done bool) bool {
	return st.Growth != gateway.Growing && done && upto >= st.Last
}
