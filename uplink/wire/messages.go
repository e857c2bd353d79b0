package wire

import (
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/fieldgate/fieldgate/gateway"
)

// Time is a wall time in microseconds since 1970: so in CBOR, and as RFC 3339
// with milliseconds in JSON. 0 is no time.
type Time int64

// Type numbers a message in CBOR (key 0). JSON uses its name.
type Type int

// The message types that this version speaks.
const (
	TypeHello    Type = 1
	TypeWelcome  Type = 2
	TypeUpdate   Type = 3
	TypeEvent    Type = 4
	TypeAck      Type = 5
	TypeNack     Type = 6
	TypeStatus   Type = 7
	TypeCommand  Type = 8
	TypeResult   Type = 9
	TypeConfig   Type = 10
	TypeReported Type = 11
	TypePing     Type = 12
	TypePong     Type = 13
	TypeDrain    Type = 14
	TypeBye      Type = 15
	TypeError    Type = 16
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
	OldestTS Time   `json:"oldest_ts" cbor:"oldest_ts"` // 0 if none
}

// HelloEvents is where the lane of events stands: Next is the name that the
// next new event will have, Acked the seq up to which the gateway believes the
// cloud to hold the events of that epoch.
type HelloEvents struct {
	Epoch gateway.EpochID `json:"epoch" cbor:"epoch"` // of the events of this opening
	Next  uint64          `json:"next" cbor:"next"`
	Acked uint64          `json:"acked" cbor:"acked"`
}

// ConfigState names a version of the configuration and its SHA-256, in hex.
type ConfigState struct {
	Ver  uint64 `json:"ver" cbor:"ver"`
	Hash string `json:"hash" cbor:"hash"`
}

// Hello opens a session, gateway to cloud.
type Hello struct {
	GatewayID string         `json:"gateway_id" cbor:"10,keyasint"`
	InstallID InstallID      `json:"install_id" cbor:"11,keyasint"`
	BootID    gateway.BootID `json:"boot_id" cbor:"12,keyasint"`
	// unfinished, oldest first; then finished but held; the growing one last; at most MaxHelloEpochs
	Epochs   []HelloEpoch `json:"epochs" cbor:"13,keyasint"`
	Events   *HelloEvents `json:"events,omitempty" cbor:"14,keyasint,omitempty"`
	Clock    ClockState   `json:"clock" cbor:"15,keyasint"`
	Software string       `json:"sw" cbor:"16,keyasint"` // "fieldgate/0.1.0"
	// "commands", "config": what this gateway does beside sending
	Caps    []string     `json:"caps,omitempty" cbor:"17,keyasint,omitempty"`
	Cfg     *ConfigState `json:"cfg,omitempty" cbor:"18,keyasint,omitempty"` // what is applied; nil: never got any
	Backlog Backlog      `json:"backlog" cbor:"19,keyasint"`
	All     bool         `json:"all" cbor:"20,keyasint"`                      // every unfinished epoch is listed
	Ends    []uint32     `json:"ends,omitempty" cbor:"21,keyasint,omitempty"` // for each of Epochs End.Sum of its open gap; 0: it has none
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
	Msg      int `json:"msg" cbor:"msg"`                       // bytes in one message
	BlockN   int `json:"block_n" cbor:"block_n"`               // readings in one block
	BlockRaw int `json:"block_raw" cbor:"block_raw"`           // bytes of a block after decompression
	Rate     int `json:"rate,omitempty" cbor:"rate,omitempty"` // bytes a second of one gateway; 0: no limit
}

// A Window is how much may be sent in one lane without an ack. No messages is
// a pause: the session stays, and heartbeats go on.
type Window struct {
	_     struct{} `cbor:",toarray"`
	Msgs  int
	Bytes int
}

// Windows are those of the three lanes.
type Windows struct {
	Ev   Window `json:"ev" cbor:"ev"`
	Live Window `json:"live" cbor:"live"`
	Back Window `json:"back" cbor:"back"`
}

// An EventAck names the newest event that the cloud holds; all before it, in
// the order of sending, are held too. The zero value is no event at all.
type EventAck struct {
	_     struct{} `cbor:",toarray"`
	Epoch gateway.EpochID
	Upto  uint64
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
	Session string       `json:"session" cbor:"10,keyasint"`
	Gen     uint64       `json:"gen" cbor:"11,keyasint"`
	Time    Time         `json:"time" cbor:"12,keyasint"`
	Level   Level        `json:"level" cbor:"13,keyasint"`
	Epochs  []EpochAck   `json:"epochs" cbor:"14,keyasint"` // for the epochs named in hello
	Events  *EventAck    `json:"events,omitempty" cbor:"15,keyasint,omitempty"`
	HB      Heartbeat    `json:"hb" cbor:"16,keyasint"`
	Lim     Limits       `json:"lim" cbor:"17,keyasint"`
	Win     *Windows     `json:"win,omitempty" cbor:"18,keyasint,omitempty"`  // nil: DefaultWindows
	SpreadS int          `json:"spread_s" cbor:"19,keyasint"`                 // wait rand(0, spread_s) at least after losing this session
	RetainS int          `json:"retain_s" cbor:"20,keyasint"`                 // keep acked readings this long, until a later ack confirms them
	Cfg     *ConfigState `json:"cfg,omitempty" cbor:"21,keyasint,omitempty"`  // what is desired; a config message follows if hello's differs
	Caps    []string     `json:"caps,omitempty" cbor:"22,keyasint,omitempty"` // "packed": what this cloud takes beside the rest
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

// Sum tells one open gap from another: the CRC-32 (IEEE) of why, at_most, t0
// and t1 as text with a blank between; 0 of an orderly end.
func (e *End) Sum() uint32 {
	if e.Closed != nil {
		return 0
	}
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %d %d %d", e.Why, e.AtMost, e.T0, e.T1))
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
	Blocks  [][]byte        `json:"-" cbor:"14,keyasint,omitempty"`
	Gap     *Gap            `json:"gap,omitempty" cbor:"15,keyasint,omitempty"`
	Thinned []byte          `json:"-" cbor:"16,keyasint,omitempty"`
	End     *End            `json:"end,omitempty" cbor:"17,keyasint,omitempty"`
	// In JSON alone, and there in the place of blocks: rows, and what is left of
	// thinned ones. The seq of a row is First and its place. Keys 18 and 19 stay
	// free for them.
	Readings    []Row        `json:"readings,omitempty" cbor:"-"`
	ThinnedRows []ThinnedRow `json:"thinned_rows,omitempty" cbor:"-"`
	// Packed is one small block, made smaller by the one packed before it in
	// this session (store/block/packed.go says how); to clouds whose welcome has
	// the capability "packed".
	Packed []byte `json:"-" cbor:"20,keyasint,omitempty"`
}

// Row is one reading.
type Row struct {
	Device    string   `json:"device_id" cbor:"device_id"`
	Quantity  string   `json:"quantity" cbor:"quantity"`
	Value     *float64 `json:"value" cbor:"value"` // nil: not a number, or infinite
	Unit      string   `json:"unit" cbor:"unit"`
	Timestamp Time     `json:"timestamp" cbor:"timestamp"` // when it was measured
	Quality   string   `json:"quality" cbor:"quality"`     // good, suspect, stale, out_of_range, simulated
	Time      string   `json:"time" cbor:"time"`           // how far Timestamp may be believed: none, rtc, session, ntp
}

// ThinnedRow is what is left of the readings of one channel in one interval.
type ThinnedRow struct {
	Device    string   `json:"device_id" cbor:"device_id"`
	Quantity  string   `json:"quantity" cbor:"quantity"`
	Unit      string   `json:"unit" cbor:"unit"`
	Timestamp Time     `json:"timestamp" cbor:"timestamp"` // where the interval begins
	IntervalS float64  `json:"interval_s" cbor:"interval_s"`
	Count     uint64   `json:"count" cbor:"count"`
	Min       *float64 `json:"min" cbor:"min"`
	Max       *float64 `json:"max" cbor:"max"`
	Mean      *float64 `json:"mean" cbor:"mean"`
	Quality   string   `json:"quality" cbor:"quality"` // the worst
	Time      string   `json:"time" cbor:"time"`
}

// Event is gateway.Event on the wire, gateway to cloud. Its name is (epoch,
// seq); seqs grow, but may leave numbers out: events that were folded.
type Event struct {
	Epoch    gateway.EpochID   `json:"epoch" cbor:"10,keyasint"`
	Seq      uint64            `json:"seq" cbor:"11,keyasint"`
	Kind     gateway.EventKind `json:"kind" cbor:"12,keyasint"`
	At       int64             `json:"at" cbor:"13,keyasint"` // BOOTTIME of the anchor's boot, µs
	Device   string            `json:"device_id,omitempty" cbor:"14,keyasint,omitempty"`
	Body     json.RawMessage   `json:"body,omitempty" cbor:"15,keyasint,omitempty"` // JSON, also in CBOR, where it is a byte string
	Volatile bool              `json:"volatile,omitempty" cbor:"16,keyasint,omitempty"`
	Anchor   Anchor            `json:"anchor" cbor:"17,keyasint"`
	N        uint64            `json:"n,omitempty" cbor:"18,keyasint,omitempty"` // how many like it this stands for; 0 is 1
}

// Ack says, cumulatively, what is on the cloud's disk, and may change how much
// is taken without one.
type Ack struct {
	Epochs []EpochAck `json:"epochs" cbor:"10,keyasint"`
	Events *EventAck  `json:"events,omitempty" cbor:"11,keyasint,omitempty"`
	Win    *Windows   `json:"win,omitempty" cbor:"12,keyasint,omitempty"`
	Why    string     `json:"why,omitempty" cbor:"13,keyasint,omitempty"` // why win is small: "storage", "rate"
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
