package gateway

import (
	"encoding/json"
	"time"
)

// A Command asks a device to act. It acts at most once, and never after its
// expiry.
type Command struct {
	ID      string          `json:"id"` // ValidID; names the command for ever
	Device  string          `json:"device_id"`
	Action  string          `json:"action"` // "set" and others of the device
	Value   *float64        `json:"value,omitempty"`
	Args    json.RawMessage `json:"args,omitempty"`
	TTL     time.Duration   `json:"ttl"`              // from its receipt, by the clock that never jumps
	Expires time.Time       `json:"expires,omitzero"` // counts where the time is known; zero: none
	Once    bool            `json:"once,omitempty"`   // its sender never sends it a second time
	Again   bool            `json:"again,omitempty"`  // it may have been received before
	Seq     uint64          `json:"seq,omitempty"`    // its place among the commands of its sender; 0: none
	Lease   time.Duration   `json:"lease,omitempty"`  // how long a set-point holds; 0: for ever
}

// A CommandResult is how far a command has come.
type CommandResult struct {
	ID    string       `json:"id"`
	State CommandState `json:"state"`
	Value *float64     `json:"value,omitempty"` // what the output is at now, if it tells
	Error string       `json:"error,omitempty"` // why it is rejected, failed or unknown, in words
	At    time.Time    `json:"at,omitzero"`     // in whole milliseconds; zero: the time is not known
}

// A CommandState is how far a command has come.
type CommandState string

// The states of a command.
const (
	CommandAccepted CommandState = "accepted"
	CommandRunning  CommandState = "running"
	CommandDone     CommandState = "done"
	CommandFailed   CommandState = "failed"
	CommandRejected CommandState = "rejected"
	CommandExpired  CommandState = "expired"
	CommandUnknown  CommandState = "unknown" // power failed while it ran, or its record was lost
)

// Final tells whether a command in this state will not change any more.
func (s CommandState) Final() bool {
	return s != CommandAccepted && s != CommandRunning && s != ""
}

// A CommandRecord is what is kept of a command, so that it acts at most once:
// it is written before the command acts, and answers a repeat.
type CommandRecord struct {
	ID       string          `json:"id"`
	State    CommandState    `json:"state"`
	Received Stamp           `json:"received"` // in the boot of Anchor
	Anchor   Anchor          `json:"anchor"`
	Command  json.RawMessage `json:"command,omitempty"` // as it came
	Result   json.RawMessage `json:"result,omitempty"`  // as it was answered
}
