package local

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/live"
)

const milliRFC3339 = "2006-01-02T15:04:05.000Z07:00"

// An update is one reading on /ws.
type update struct {
	Type string `json:"type"` // "update"
	row
	Lost uint64 `json:"lost,omitempty"` // readings left out before this one because the client was slow
}

// A row is one reading in JSON.
type row struct {
	Device    string   `json:"device_id"`
	Quantity  string   `json:"quantity"`
	Value     *float64 `json:"value"` // null when it is not a number
	Unit      string   `json:"unit"`
	Timestamp string   `json:"timestamp,omitempty"` // when measured: RFC 3339, UTC, milliseconds
	Quality   string   `json:"quality,omitempty"`
	Time      string   `json:"time,omitempty"` // how far the timestamp may be believed: none, rtc, session, ntp
	Epoch     string   `json:"epoch,omitempty"`
	Seq       uint64   `json:"seq,omitempty"`
}

func rowOf(u live.Update, anchor gateway.Anchor) row {
	r := row{
		Device:    u.Channel.Device,
		Quantity:  u.Channel.Quantity,
		Unit:      u.Channel.Unit,
		Timestamp: anchor.Wall(u.At).Format(milliRFC3339),
		Quality:   u.Quality.String(),
		Time:      anchor.Quality.String(),
		Epoch:     u.Name.Epoch.String(),
		Seq:       u.Name.Seq,
	}
	switch {
	case !math.IsNaN(u.Value) && !math.IsInf(u.Value, 0):
		r.Value = &u.Value
	case u.Quality == gateway.Good: // JSON has no such number, and nobody should take it for good
		r.Quality = gateway.Suspect.String()
	}
	return r
}

// A fault is an error as clients get it, over HTTP and on /ws.
type fault struct {
	Type    string `json:"type"` // "error"
	Code    string `json:"code"`
	Message string `json:"message"`
	Ref     string `json:"ref,omitempty"` // the id of the message it answers
}

func newFault(code, message string) *fault {
	return &fault{Type: "error", Code: code, Message: message}
}

// An inbound message is anything a client says: a reading, or a message with
// a type. Values stay raw: what counts today is whether they are there.
type inbound struct {
	Type   string          `json:"type"`
	ID     string          `json:"id"`
	Device *string         `json:"device_id"`
	Value  json.RawMessage `json:"value"`
}

// messageTypes are all types of the protocol; an object of one of these,
// update excepted, is never a reading.
var messageTypes = []string{
	"hello", "welcome", "update", "event", "ack", "nack", "status", "command", "result",
	"config", "reported", "ping", "pong", "drain", "bye", "error",
}

// answer gives what is to be said to an inbound message.
func answer(message []byte) *fault {
	var in inbound
	if err := json.Unmarshal(message, &in); err != nil || bytes.TrimSpace(message)[0] != '{' {
		return newFault("malformed", "This is not a JSON object of the form {\"type\": …}.")
	}
	f := answerType(in)
	if len(in.ID) <= 64 {
		f.Ref = in.ID
	}
	return f
}

func answerType(in inbound) *fault {
	reading := in.Device != nil && in.Value != nil && (in.Type == "update" || !slices.Contains(messageTypes, in.Type))
	switch {
	case reading, in.Type == "update":
		return newFault("update_not_served", "This gateway does not take readings from other devices yet; nothing was stored.")
	case in.Type == "command":
		return newFault("command_not_served", "This gateway does not take commands here yet; nothing was switched.")
	case in.Type == "ack":
		return newFault("ack_not_served", "There is nothing to acknowledge here.")
	case in.Type == "status":
		return newFault("status_not_served", "This gateway does not take the status of other devices yet.")
	case in.Type == "":
		return newFault("malformed", "A message needs a type.")
	}
	return newFault("unknown_type", "This gateway does not know messages of this type; it ignored yours.")
}

// encode gives v as JSON. What cannot be said in JSON (a figure that is not a
// number, a year beyond 9999) becomes an error that says so.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(newFault("internal", "The gateway could not put this into JSON: "+err.Error()))
	}
	return b
}

// seconds rounds to milliseconds, as JSON shows durations.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
