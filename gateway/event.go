package gateway

import "encoding/json"

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
