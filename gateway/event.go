package gateway

import (
	"encoding/json"
	"time"
)

// An EventKind says what an event is about.
type EventKind string

// The kinds of events.
const (
	EventBoot          EventKind = "boot"           // the store was opened
	EventAnchor        EventKind = "anchor"         // the clock became better known
	EventAlarm         EventKind = "alarm"          // raised or cleared
	EventResult        EventKind = "result"         // of a command
	EventSensor        EventKind = "sensor"         // a device failed or came back
	EventGapNotice     EventKind = "gap_notice"     // readings were lost, in words
	EventConfig        EventKind = "config"         // a configuration was applied, refused or rolled back
	EventAction        EventKind = "action"         // somebody moved an output
	EventPulsesLost    EventKind = "pulses_lost"    // pulses that a total does not hold; the body is PulsesLost
	EventStateLost     EventKind = "state_lost"     // the store's small facts were lost, records of commands among them
	EventEventsDropped EventKind = "events_dropped" // older events that the cloud never had were given up
)

// An Event is something that happened, small and apart from readings. Its
// name is that of the opening of the store and a count of its own, from 1, so
// that no name is used twice, whatever becomes of the card.
type Event struct {
	Name
	Kind     EventKind       `json:"kind"`
	At       Stamp           `json:"at"` // of the last one, if it stands for several
	Anchor   Anchor          `json:"anchor"`
	Device   string          `json:"device_id,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
	N        uint64          `json:"n"` // how many like it this stands for
	Volatile bool            `json:"-"` // not on the card (yet)
}

// PulsesLost says in which span pulses of a total were not counted. The times are
// those of the board's clock, as well as it knows them when it writes this.
type PulsesLost struct {
	Quantity string    `json:"quantity"`
	From     time.Time `json:"from,omitzero"` // zero: not known
	To       time.Time `json:"to"`
	Pulses   any       `json:"pulses"`          // a number, or "unknown": perhaps none
	Total    float64   `json:"total"`           // goes on from here
	After    *After    `json:"after,omitempty"` // the last reading before, that the total goes on from; nil: of this run
}

// After names a reading that something follows.
type After struct {
	Epoch EpochID `json:"epoch"`
	Seq   uint64  `json:"seq"`
}

// A DesiredConfig is a configuration that the cloud wants to be in force.
type DesiredConfig struct {
	Ver     uint64        `json:"ver"`
	Hash    string        `json:"hash"` // SHA-256 of Doc, in hex
	Doc     string        `json:"doc"`  // TOML
	Confirm time.Duration `json:"confirm"`
}

// A ConfigState is what became of a DesiredConfig.
type ConfigState string

// The outcomes of a DesiredConfig.
const (
	ConfigApplied    ConfigState = "applied"
	ConfigRejected   ConfigState = "rejected"    // it is wrong; Errors say all of it
	ConfigRolledBack ConfigState = "rolled_back" // it was tried, and the one before is in force again
)

// A ConfigOutcome tells it, as the body of an event too.
type ConfigOutcome struct {
	Ver    uint64      `json:"ver"`
	Hash   string      `json:"hash"`
	State  ConfigState `json:"state"`
	Errors []string    `json:"errors,omitempty"`
}
