package wire

import (
	"encoding/json"

	"github.com/fieldgate/fieldgate/gateway"
)

// Condition is one thing that is wrong on a gateway.
type Condition struct {
	Code     string `json:"code" cbor:"code"`
	Subject  string `json:"subject,omitempty" cbor:"subject,omitempty"`
	Severity string `json:"severity" cbor:"severity"` // "warning" or "error"
	Sentence string `json:"sentence" cbor:"sentence"`
	Since    Time   `json:"since" cbor:"since"`
}

// StatusChannel is one quantity of a device.
type StatusChannel struct {
	Quantity string `json:"quantity" cbor:"quantity"`
	Unit     string `json:"unit" cbor:"unit"`
}

// StatusDevice is a device as it stands.
type StatusDevice struct {
	ID       string          `json:"id" cbor:"id"`
	Channels []StatusChannel `json:"channels" cbor:"channels"`
	Online   bool            `json:"online" cbor:"online"`
}

// Status is how a gateway is, gateway to cloud: after welcome and when it
// changes. It is not stored in the log.
type Status struct {
	Health  []Condition        `json:"health" cbor:"10,keyasint"`
	Devices []StatusDevice     `json:"devices" cbor:"11,keyasint"`
	Figures map[string]float64 `json:"figures,omitempty" cbor:"12,keyasint,omitempty"`
}

// Command asks a gateway to act, cloud to gateway. It acts at most once, and
// never after TTLMS from its receipt, nor after Expires where the gateway
// knows the time. With Again it may have been received before: a gateway that
// knows the id answers with the stored result; one that does not acts as if
// it were new, but if the command is a Once, if TTLMS is 0 (a mere question)
// or if its records were lost, it answers "unknown" and does not act.
type Command struct {
	ID      string          `json:"id" cbor:"1,keyasint"`
	Device  string          `json:"device_id" cbor:"10,keyasint"`
	Action  string          `json:"action" cbor:"11,keyasint"` // "set" and others of the device
	Value   *float64        `json:"value,omitempty" cbor:"12,keyasint,omitempty"`
	Args    json.RawMessage `json:"args,omitempty" cbor:"13,keyasint,omitempty"`
	Expires Time            `json:"expires,omitempty" cbor:"14,keyasint,omitempty"`
	TTLMS   int64           `json:"ttl_ms" cbor:"15,keyasint"`                       // left when it was sent
	Once    bool            `json:"once,omitempty" cbor:"16,keyasint,omitempty"`     // never sent again after "sent": doors, resets
	Seq     uint64          `json:"seq,omitempty" cbor:"17,keyasint,omitempty"`      // of this gateway's commands: their order
	LeaseMS int64           `json:"lease_ms,omitempty" cbor:"18,keyasint,omitempty"` // how long a set-point holds; 0: for ever
	Again   bool            `json:"again,omitempty" cbor:"19,keyasint,omitempty"`    // it may have been received before; see Command
}

// Result is how far a command has come, gateway to cloud: at once as this
// message, and for certain as the body of an event.
type Result struct {
	ID    string               `json:"id" cbor:"1,keyasint"`
	State gateway.CommandState `json:"state" cbor:"10,keyasint"`
	Value *float64             `json:"value,omitempty" cbor:"11,keyasint,omitempty"`
	Error string               `json:"error,omitempty" cbor:"12,keyasint,omitempty"`
	At    Time                 `json:"at,omitempty" cbor:"13,keyasint,omitempty"`
}

// Config is a whole desired configuration, cloud to gateway.
type Config struct {
	Ver      uint64 `json:"ver" cbor:"10,keyasint"`
	Hash     string `json:"hash" cbor:"11,keyasint"`                          // SHA-256 of Doc, in hex
	Doc      string `json:"doc" cbor:"12,keyasint"`                           // TOML
	ConfirmS int    `json:"confirm_s,omitempty" cbor:"13,keyasint,omitempty"` // roll back if the uplink is not ready so long after; 0: 300
}

// Reported is what became of a Config, gateway to cloud.
type Reported struct {
	Ver    uint64   `json:"ver" cbor:"10,keyasint"`
	Hash   string   `json:"hash" cbor:"11,keyasint"`
	State  string   `json:"state" cbor:"12,keyasint"` // "applied", "rejected", "rolled_back"
	Errors []string `json:"errors,omitempty" cbor:"13,keyasint,omitempty"`
}

// Drain asks a gateway to end the session and come back later, elsewhere if
// URL is set; cloud to gateway.
type Drain struct {
	AfterMS  int64  `json:"after_ms" cbor:"10,keyasint"`  // before it dials again, at least
	SpreadMS int64  `json:"spread_ms" cbor:"11,keyasint"` // and rand(0, spread_ms) more
	Reason   string `json:"reason,omitempty" cbor:"12,keyasint,omitempty"`
	URL      string `json:"url,omitempty" cbor:"13,keyasint,omitempty"`
}

// Bye announces the end of a session, either way.
type Bye struct {
	Reason string `json:"reason" cbor:"10,keyasint"`
	NextS  int64  `json:"next_s,omitempty" cbor:"11,keyasint,omitempty"` // when to expect this gateway again; 0: at once
}

func (*Hello) messageType() Type    { return TypeHello }
func (*Welcome) messageType() Type  { return TypeWelcome }
func (*Update) messageType() Type   { return TypeUpdate }
func (*Event) messageType() Type    { return TypeEvent }
func (*Ack) messageType() Type      { return TypeAck }
func (*Nack) messageType() Type     { return TypeNack }
func (*Status) messageType() Type   { return TypeStatus }
func (*Command) messageType() Type  { return TypeCommand }
func (*Result) messageType() Type   { return TypeResult }
func (*Config) messageType() Type   { return TypeConfig }
func (*Reported) messageType() Type { return TypeReported }
func (*Ping) messageType() Type     { return TypePing }
func (*Pong) messageType() Type     { return TypePong }
func (*Drain) messageType() Type    { return TypeDrain }
func (*Bye) messageType() Type      { return TypeBye }
func (*Error) messageType() Type    { return TypeError }
