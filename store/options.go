package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// What the callers of a Store tell apart.
var (
	ErrLocked    = errors.New("store is in use by another process")
	ErrVersion   = errors.New("store was written by a later version of fieldgate")
	ErrClosed    = errors.New("store is closed")
	ErrEpoch     = errors.New("no such epoch in the store")
	ErrAckBeyond = errors.New("ack beyond the last reading") // the cloud broke the protocol; nothing was changed
	ErrTooSmall  = errors.New("not even one reading fits into so few bytes")
)

// A Clock gives the board's time.
type Clock interface {
	Stamp() gateway.Stamp   // now
	Anchor() gateway.Anchor // the best of this boot known now
}

// Conditions is where the store tells what is wrong; *health.Table is one.
type Conditions interface {
	Raise(code, subject string, severity health.Severity, sentence string)
	Clear(code, subject, sentence string)
}

// The conditions that the store raises.
const (
	ConditionCard       = "store_card"       // the card takes no writes
	ConditionDamage     = "store_damage"     // a file was damaged and is in quarantine
	ConditionVersion    = "store_version"    // a later version of fieldgate wrote the store
	ConditionUnreadable = "store_unreadable" // a file, or the whole store, cannot be read or opened now; nothing is discarded for it
	ConditionRoom       = "store_room"       // there is no room for more than the journal
	ConditionVolatile   = "store_volatile"   // the store lies in RAM, or that cannot be ruled out
	ConditionDropped    = "store_dropped"    // readings were discarded before the cloud had them
	ConditionThinned    = "store_thinned"    // readings were reduced to summaries before the cloud had them
)

// Options says where a store lives and how it behaves. Clock, Conditions and
// Log must be set.
type Options struct {
	Dir           string        // made if it is missing
	FlushInterval time.Duration // an unacknowledged reading is on the card after this; 0: when Append returns
	HistoryFlush  time.Duration // an acknowledged one after this, if the cloud's level is fsynced
	History       time.Duration // acknowledged readings are kept this long; 0: only as long as retention needs
	MaxSize       int64         // bytes of all volumes; 0: no limit
	MinFree       int64         // bytes of the file system left free, at most an eighth of it; 0: no floor
	// where a limit asks for it, unacknowledged readings become one summary per channel and
	// interval before any are dropped; 0: never
	ThinInterval time.Duration
	MaxEvents    int               // bytes of events; 0: 16 MiB
	Rate         float64           // readings/s that are appended at most over a long time …
	Burst        int               // … and at one instant beyond that (the number of channels)
	Totals       []gateway.Channel // channels that count: device and quantity. Total gives their last readings
	Clock        Clock
	Conditions   Conditions
	Log          *slog.Logger
	VerifyState  func(path string) error                  // has another process do CheckState; nil: nobody does
	Where        func(dir string) (files.Keeping, string) // what a power cut leaves of a folder, and why; nil: files.Where
	Card         Card                                     // what takes the durable steps; nil: the card itself
	readOnly     bool                                     // nothing is written: see Inspect
}

func (o *Options) check() error {
	switch {
	case o.FlushInterval < 0:
		return fmt.Errorf("flush_interval is %v, must not be negative", o.FlushInterval)
	case o.HistoryFlush < o.FlushInterval:
		return fmt.Errorf("history_flush is %v, must be at least flush_interval, %v", o.HistoryFlush, o.FlushInterval)
	case o.History < 0:
		return fmt.Errorf("history is %v, must not be negative", o.History)
	case o.ThinInterval < 0 || o.ThinInterval%time.Microsecond != 0:
		return fmt.Errorf("thin_interval is %v, must not be negative and must be whole microseconds", o.ThinInterval)
	case o.MaxSize != 0 && o.MaxSize < minMaxSize:
		return fmt.Errorf("max_size is %d bytes, must be at least %d", o.MaxSize, minMaxSize)
	}
	return nil
}
