package wire

import (
	"encoding/json"
	"time"
)

// Close codes, with what they ask of the gateway (RFC 6455 section 7.4 for
// those below 4000).
const (
	CloseUndecodable  = 4400 // undecodable or out-of-order messages: back off
	CloseUnauthorised = 4401 // credential invalid: try again in minutes
	CloseForbidden    = 4403 // revoked, not enrolled, or not this gateway: try again in minutes
	CloseNoHello      = 4408 // no hello in time, or a reader too slow: back off
	CloseSuperseded   = 4409 // a newer session of the same gateway took over: wait 30 s
	CloseConflict     = 4410 // one identity used from two places: wait, alarm
	CloseVersion      = 4426 // this version is no longer served: back off slowly, alarm
	CloseTooMuch      = 4429 // rate or window exceeded: back off as told
)

// A Wait says how a gateway waits before it tries again.
type Wait uint8

// The ways to wait. None of them means "never": field boards cannot be touched.
const (
	WaitBackOff  Wait = iota // full jitter, doubling with every failure up to 5 min
	WaitSlow                 // a minute more than that
	WaitAuth                 // 5 min to 1 h, anywhere between
	WaitTakeover             // 30 s and as much jitter
)

// A Reaction is what a gateway does after a close.
type Reaction struct {
	Wait  Wait
	Halve bool   // send smaller messages from now on
	Alarm bool   // people must act: a condition of its own, severity error
	Say   string // why the cloud closed, in words
}

var reactions = map[int]Reaction{
	1000:              {Say: "the cloud ended the session"},
	1001:              {Say: "the cloud is going away"},
	1002:              {Say: "the cloud reports a protocol error"},
	1003:              {Say: "the cloud does not take this kind of frame"},
	1006:              {Say: "the connection broke"},
	1007:              {Say: "the cloud reports text that is not UTF-8"},
	1008:              {Wait: WaitSlow, Say: "the cloud's policy refuses this session"},
	1009:              {Halve: true, Say: "a message was too big for the cloud"},
	1011:              {Say: "the cloud has an internal error"},
	1012:              {Say: "the cloud restarts"},
	1013:              {Say: "the cloud is overloaded"},
	CloseUndecodable:  {Say: "the cloud cannot decode what this gateway sends"},
	CloseUnauthorised: {Wait: WaitAuth, Say: "the cloud refuses this gateway's credential"},
	CloseForbidden:    {Wait: WaitAuth, Say: "the cloud refuses this gateway: revoked, not enrolled, or the credential is another gateway's"},
	CloseNoHello:      {Say: "this gateway was too slow for the cloud"},
	CloseSuperseded:   {Wait: WaitTakeover, Say: "a newer session of this same gateway took over"},
	CloseConflict:     {Wait: WaitAuth, Alarm: true, Say: "two boards use this gateway's identity; give one of them its own"},
	CloseVersion:      {Wait: WaitSlow, Alarm: true, Say: "the cloud no longer serves this version; update this gateway"},
	CloseTooMuch:      {Say: "this gateway sends more than the cloud allows"},
}

// ReactionTo gives what a gateway does when the cloud closes with code. Codes
// that this version does not know are answered by backing off.
func ReactionTo(code int) Reaction {
	if r, known := reactions[code]; known {
		return r
	}
	return Reaction{Say: "the cloud closed the session"}
}

// RetryHint reads the least time to wait from a close reason of the form
// {"after":30} (seconds); 0 if it has none.
func RetryHint(reason string) time.Duration {
	var hint struct {
		After float64 `json:"after"`
	}
	if json.Unmarshal([]byte(reason), &hint) != nil || !(hint.After > 0 && hint.After < 1e6) {
		return 0
	}
	return time.Duration(hint.After * float64(time.Second))
}
