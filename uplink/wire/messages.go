package wire

import "github.com/fieldgate/fieldgate/gateway"

// Type numbers a message in CBOR (key 0). JSON uses its name.
type Type int

// The message types that this version speaks.
const (
	TypeHello   Type = 1
	TypeWelcome Type = 2
	TypeUpdate  Type = 3
	TypeAck     Type = 5
	TypeNack    Type = 6
	TypePing    Type = 12
	TypePong    Type = 13
	TypeError   Type = 16
)

// A Message is one of the pointer types below.
type Message interface {
	messageType() Type
	validate() error // nonsense in a well-formed envelope
}

// HelloEpoch is what a gateway says of one epoch: what it still holds, how
// the epoch ended, and up to where it believes the cloud to hold it.
type HelloEpoch struct {
	_      struct{}            `cbor:",toarray"`
	Epoch  gateway.EpochID     // 16 bytes
	Oldest uint64              // first seq still held
	Last   uint64              // last seq; 0 if none yet
	Growth gateway.EpochGrowth // 0 growing, 1 ended at Last, 2 ended by an open gap after Last
	Acked  uint64              // the gateway believes that the cloud holds up to here
}

// ClockState is a gateway's own view of its clock.
type ClockState struct {
	Quality gateway.ClockQuality `json:"quality" cbor:"quality"`
	Offset  int64                `json:"offset" cbor:"offset"` // µs: wall time = BOOTTIME + offset
	ErrMS   int64                `json:"err_ms" cbor:"err_ms"` // bound on the error; 0 unknown
}

// Backlog is what a gateway has waiting.
type Backlog struct {
	N        uint64 `json:"n" cbor:"n"`                 // readings
	Bytes    uint64 `json:"bytes" cbor:"bytes"`         // encoded
	OldestTS int64  `json:"oldest_ts" cbor:"oldest_ts"` // µs since 1970; 0 if none
}

// Hello opens a session, gateway to cloud.
type Hello struct {
	GatewayID string         `json:"gateway_id" cbor:"10,keyasint"`
	InstallID [16]byte       `json:"install_id" cbor:"11,keyasint"`
	BootID    gateway.BootID `json:"boot_id" cbor:"12,keyasint"`
	Epochs    []HelloEpoch   `json:"epochs" cbor:"13,keyasint"` // unfinished, oldest first; then finished but held; the growing one last; at most MaxHelloEpochs
	Clock     ClockState     `json:"clock" cbor:"15,keyasint"`
	Software  string         `json:"sw" cbor:"16,keyasint"` // "fieldgate/0.1.0"
	Backlog   Backlog        `json:"backlog" cbor:"19,keyasint"`
	All       bool           `json:"all" cbor:"20,keyasint"` // every unfinished epoch is listed
}

// EpochAck says up to where the cloud holds an epoch, and whether it has its
// end too.
type EpochAck struct {
	_     struct{}        `cbor:",toarray"`
	Epoch gateway.EpochID // 16 bytes
	Upto  uint64          // 0: nothing
	Done  bool
}

// Heartbeat says how often to ping, and how many silent periods end a session.
type Heartbeat struct {
	PingS int `json:"ping_s" cbor:"ping_s"`
	Miss  int `json:"miss" cbor:"miss"`
}

// Limits are the cloud's bounds on what it takes in one go.
type Limits struct {
	Msg      int `json:"msg" cbor:"msg"`             // bytes in one message
	BlockN   int `json:"block_n" cbor:"block_n"`     // readings in one block
	BlockRaw int `json:"block_raw" cbor:"block_raw"` // bytes of a block after decompression
}

// Level is the durability that an ack stands for.
type Level string

// The levels of durability.
const (
	LevelFsynced    Level = "fsynced"    // on the disk of one server
	LevelReplicated Level = "replicated" // on the majority of a cluster
	LevelReceived   Level = "received"   // in memory: not proof against a crash of the cloud
)

// Welcome answers hello, cloud to gateway. Its upto values are authoritative,
// also when they are lower than what the gateway believed.
type Welcome struct {
	Session string     `json:"session" cbor:"10,keyasint"`
	Gen     uint64     `json:"gen" cbor:"11,keyasint"`
	Time    int64      `json:"time" cbor:"12,keyasint"` // µs since 1970
	Level   Level      `json:"level" cbor:"13,keyasint"`
	Epochs  []EpochAck `json:"epochs" cbor:"14,keyasint"` // for the epochs named in hello
	HB      Heartbeat  `json:"hb" cbor:"16,keyasint"`
	Lim     Limits     `json:"lim" cbor:"17,keyasint"`
	SpreadS int        `json:"spread_s" cbor:"19,keyasint"` // wait rand(0, spread_s) more after losing this session
	RetainS int        `json:"retain_s" cbor:"20,keyasint"` // keep acked readings this long, until a later ack confirms them
}

// Lane says whether an update is live or catches up.
type Lane int

// The lanes that carry updates.
const (
	LaneLive    Lane = 1
	LaneBacklog Lane = 2
)

// Anchor is gateway.Anchor on the wire.
type Anchor struct {
	Boot    gateway.BootID       `json:"boot" cbor:"boot"`
	From    int64                `json:"from" cbor:"from"`     // BOOTTIME, µs
	Offset  int64                `json:"offset" cbor:"offset"` // µs
	Quality gateway.ClockQuality `json:"quality" cbor:"quality"`
	ErrUS   int64                `json:"err_us" cbor:"err_us"`
}

// Gap stands in the place of n readings that will never come.
type Gap struct {
	Why    gateway.Why `json:"why" cbor:"why"`
	T0     int64       `json:"t0" cbor:"t0"` // BOOTTIME of the anchor's boot, µs
	T1     int64       `json:"t1" cbor:"t1"`
	Anchor Anchor      `json:"anchor" cbor:"anchor"`
}

// End closes an epoch: orderly at Closed, or (Closed nil) by an open gap.
type End struct {
	Closed *uint64     `json:"closed,omitempty" cbor:"closed,omitempty"` // seq of the last reading; 0 for an epoch without any
	Why    gateway.Why `json:"why,omitempty" cbor:"why,omitempty"`
	AtMost uint64      `json:"at_most,omitempty" cbor:"at_most,omitempty"`
	T0     int64       `json:"t0,omitempty" cbor:"t0,omitempty"`
	T1     int64       `json:"t1,omitempty" cbor:"t1,omitempty"`
	Anchor *Anchor     `json:"anchor,omitempty" cbor:"anchor,omitempty"`
}

// Update carries consecutive readings of one epoch as whole blocks, or in
// their place a thinned block or a gap; End rides along or comes alone with
// n = 0. A thinned block may begin before what the cloud lacks: it cannot be
// parted.
type Update struct {
	Lane    Lane            `json:"lane" cbor:"10,keyasint"`
	Epoch   gateway.EpochID `json:"epoch" cbor:"11,keyasint"`
	First   uint64          `json:"first" cbor:"12,keyasint"`
	N       uint64          `json:"n" cbor:"13,keyasint"`
	Blocks  [][]byte        `json:"blocks,omitempty" cbor:"14,keyasint,omitempty"`
	Gap     *Gap            `json:"gap,omitempty" cbor:"15,keyasint,omitempty"`
	Thinned []byte          `json:"thinned,omitempty" cbor:"16,keyasint,omitempty"`
	End     *End            `json:"end,omitempty" cbor:"17,keyasint,omitempty"`
}

// Ack says, cumulatively, what is on the cloud's disk.
type Ack struct {
	Epochs []EpochAck `json:"epochs" cbor:"10,keyasint"`
}

// NackCode says what was wrong with an update.
type NackCode string

// The codes of a nack.
const (
	NackSeq   NackCode = "seq"   // not contiguous: go on at Expected
	NackBlock NackCode = "block" // a block does not decode, or its header contradicts the update
	NackTime  NackCode = "time"  // stamps outside of what can be
)

// Nack refuses an update.
type Nack struct {
	Epoch    gateway.EpochID `json:"epoch" cbor:"10,keyasint"`
	First    uint64          `json:"first" cbor:"11,keyasint"`
	N        uint64          `json:"n" cbor:"12,keyasint"`
	Code     NackCode        `json:"code" cbor:"13,keyasint"`
	Retry    bool            `json:"retry" cbor:"14,keyasint"`
	AfterMS  int64           `json:"after_ms,omitempty" cbor:"15,keyasint,omitempty"`
	Expected uint64          `json:"expected,omitempty" cbor:"16,keyasint,omitempty"`
}

// Ping asks for the other side's clock. T0 is the sender's, µs.
type Ping struct {
	T0 int64 `json:"t0" cbor:"10,keyasint"`
}

// Pong answers a ping: its T0, when it came (T1) and when this left (T2).
type Pong struct {
	T0 int64 `json:"t0" cbor:"10,keyasint"`
	T1 int64 `json:"t1" cbor:"11,keyasint"`
	T2 int64 `json:"t2" cbor:"12,keyasint"`
}

// Error tells the other side of a message that was not understood. The
// session goes on.
type Error struct {
	Code    string `json:"code" cbor:"10,keyasint"`
	Message string `json:"message" cbor:"11,keyasint"`
	Ref     string `json:"ref,omitempty" cbor:"12,keyasint,omitempty"`
}

func (*Hello) messageType() Type   { return TypeHello }
func (*Welcome) messageType() Type { return TypeWelcome }
func (*Update) messageType() Type  { return TypeUpdate }
func (*Ack) messageType() Type     { return TypeAck }
func (*Nack) messageType() Type    { return TypeNack }
func (*Ping) messageType() Type    { return TypePing }
func (*Pong) messageType() Type    { return TypePong }
func (*Error) messageType() Type   { return TypeError }
