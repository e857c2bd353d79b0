package wire

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// This file says how the types of a message look in JSON where that is not
// how they look in CBOR.

var typeNames = [...]string{
	TypeHello: "hello", TypeWelcome: "welcome", TypeUpdate: "update", TypeEvent: "event",
	TypeAck: "ack", TypeNack: "nack", TypeStatus: "status", TypeCommand: "command",
	TypeResult: "result", TypeConfig: "config", TypeReported: "reported", TypePing: "ping",
	TypePong: "pong", TypeDrain: "drain", TypeBye: "bye", TypeError: "error",
}

// String gives the name that the type has in JSON.
func (t Type) String() string {
	if t >= TypeHello && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("%d", int(t))
}

// typeNamed gives the type of that name, 0 if there is none.
func typeNamed(name string) Type {
	for t := TypeHello; int(t) < len(typeNames); t++ {
		if typeNames[t] == name {
			return t
		}
	}
	return 0
}

const milliRFC3339 = "2006-01-02T15:04:05.000Z"

// The span of wall times that RFC 3339 can write: the years 1 to 9999.
var (
	minTime = Time(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	maxTime = Time(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1)
)

// MarshalJSON gives RFC 3339 in UTC with milliseconds, rounded down; null for
// no time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	if t < minTime || t > maxTime {
		return nil, fmt.Errorf("time %d µs is not of the years 1 to 9999", int64(t))
	}
	ms := floorDiv(int64(t), 1000)
	return time.UnixMilli(ms).UTC().AppendFormat(make([]byte, 0, 32), `"`+milliRFC3339+`"`), nil
}

// unreadable is what a text that is no time becomes. It is outside of the span
// above, so validTime refuses it.
const unreadable Time = math.MinInt64

// Readable reports whether t is of the years 1 to 9999, or no time. Of what a
// decoder gives, only a stamp of a row or of a Bare may be unreadable.
func (t Time) Readable() bool { return validTime(t) == nil }

// UnmarshalJSON takes RFC 3339 in any zone; what is finer than a millisecond
// is dropped. Another text makes a time that is not Readable; what is no text
// is an error.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var at time.Time
	if at.UnmarshalJSON(b) == nil && strict(string(b[1:len(b)-1])) {
		*t = Time(at.UnixMilli() * 1000)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("not a time of RFC 3339: %w", err)
	}
	*t = rareTime(text)
	return nil
}

// rareTime reads the forms of RFC 3339 that package time does not take: small
// letters, and second 60, which becomes the last millisecond of second 59.
func rareTime(text string) Time {
	const seconds = len("2006-01-02T15:04:")
	leap := len(text) > seconds+2 && text[seconds:seconds+2] == "60"
	if leap {
		text = text[:seconds] + "59" + text[seconds+2:]
	}
	text = strings.ToUpper(text)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !strict(text) {
		return unreadable
	}
	if leap {
		at = at.Truncate(time.Second).Add(999 * time.Millisecond)
	}
	return Time(at.UnixMilli() * 1000)
}

// strict tells whether a text that time.Parse took is RFC 3339 as section 5.6 of the RFC has it. Package time also takes
// a comma before the fraction, an hour of one digit, and zones beyond 23:59 (https://go.dev/issue/54580).
func strict(text string) bool {
	const hourEnd, secondsEnd = len("2006-01-02T15"), len("2006-01-02T15:04:05")
	if text[hourEnd] != ':' || text[secondsEnd] == ',' {
		return false
	}
	zone := text[len(text)-len("24:00"):]
	return text[len(text)-1] == 'Z' || zone[:2] < "24" && zone[3:] < "60"
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// An InstallID is 16 random bytes made with the gateway's state: 32 hex digits
// in JSON.
type InstallID [16]byte

// MarshalText gives 32 hex digits.
func (id InstallID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText takes 32 hex digits.
func (id *InstallID) UnmarshalText(b []byte) error {
	return (*gateway.EpochID)(id).UnmarshalText(b)
}

// UnmarshalBinary takes 16 bytes and no other number.
func (id *InstallID) UnmarshalBinary(b []byte) error {
	return (*gateway.EpochID)(id).UnmarshalBinary(b)
}

var laneNames = map[Lane]string{LaneLive: "live", LaneBacklog: "backlog"}

// MarshalJSON gives the lane's name.
func (l Lane) MarshalJSON() ([]byte, error) { return json.Marshal(laneNames[l]) }

// UnmarshalJSON takes a lane's name.
func (l *Lane) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		return err
	}
	for lane, n := range laneNames {
		if n == name {
			*l = lane
			return nil
		}
	}
	return fmt.Errorf("lane is %.40q", name)
}

// A clockName is a clock quality by its name.
type clockName gateway.ClockQuality

func (q clockName) MarshalText() ([]byte, error) {
	return []byte(gateway.ClockQuality(q).String()), nil
}

func (q *clockName) UnmarshalText(b []byte) error {
	for c := gateway.ClockNone; c <= gateway.ClockNTP; c++ {
		if c.String() == string(b) {
			*q = clockName(c)
			return nil
		}
	}
	return fmt.Errorf("clock quality is %.40q", b)
}

type (
	plainClock  ClockState
	clockInJSON struct {
		plainClock
		Quality *clockName `json:"quality"`
	}
	plainAnchor  Anchor
	anchorInJSON struct {
		plainAnchor
		Quality *clockName `json:"quality"`
	}
)

// MarshalJSON names the quality.
func (c ClockState) MarshalJSON() ([]byte, error) {
	return json.Marshal(clockInJSON{plainClock(c), (*clockName)(&c.Quality)})
}

// UnmarshalJSON takes the quality by its name.
func (c *ClockState) UnmarshalJSON(b []byte) error {
	v := clockInJSON{Quality: (*clockName)(&c.Quality)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	v.plainClock.Quality = c.Quality
	*c = ClockState(v.plainClock)
	return nil
}

// MarshalJSON names the quality.
func (a Anchor) MarshalJSON() ([]byte, error) {
	return json.Marshal(anchorInJSON{plainAnchor(a), (*clockName)(&a.Quality)})
}

// UnmarshalJSON takes the quality by its name.
func (a *Anchor) UnmarshalJSON(b []byte) error {
	v := anchorInJSON{Quality: (*clockName)(&a.Quality)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	v.plainAnchor.Quality = a.Quality
	*a = Anchor(v.plainAnchor)
	return nil
}

// array reads a JSON list of exactly these parts.
func array(b []byte, parts ...any) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != len(parts) {
		return fmt.Errorf("a list has %d elements, want %d", len(list), len(parts))
	}
	for i, part := range parts {
		if err := json.Unmarshal(list[i], part); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON gives [epoch, oldest, last, closed, acked].
func (e HelloEpoch) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{e.Epoch, e.Oldest, e.Last, e.Growth, e.Acked})
}

// UnmarshalJSON takes [epoch, oldest, last, closed, acked].
func (e *HelloEpoch) UnmarshalJSON(b []byte) error {
	return array(b, &e.Epoch, &e.Oldest, &e.Last, &e.Growth, &e.Acked)
}

// MarshalJSON gives [epoch, upto, done].
func (a EpochAck) MarshalJSON() ([]byte, error) { return json.Marshal([]any{a.Epoch, a.Upto, a.Done}) }

// UnmarshalJSON takes [epoch, upto, done].
func (a *EpochAck) UnmarshalJSON(b []byte) error { return array(b, &a.Epoch, &a.Upto, &a.Done) }

// MarshalJSON gives [epoch, upto].
func (a EventAck) MarshalJSON() ([]byte, error) { return json.Marshal([]any{a.Epoch, a.Upto}) }

// UnmarshalJSON takes [epoch, upto].
func (a *EventAck) UnmarshalJSON(b []byte) error { return array(b, &a.Epoch, &a.Upto) }

// MarshalJSON gives [messages, bytes].
func (w Window) MarshalJSON() ([]byte, error) { return json.Marshal([]int{w.Msgs, w.Bytes}) }

// UnmarshalJSON takes [messages, bytes].
func (w *Window) UnmarshalJSON(b []byte) error { return array(b, &w.Msgs, &w.Bytes) }

// finite reports whether JSON has this number.
func finite(v *float64) bool { return v == nil || !math.IsNaN(*v) && !math.IsInf(*v, 0) }
