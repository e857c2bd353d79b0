package wire

import "time"

// What a message may hold at most. Both sides check before they allocate.
const (
	MaxMessage        = 1 << 20   // bytes, hard; NATS' max_payload
	DefaultMessage    = 256 << 10 // bytes, unless welcome says otherwise
	MinMessage        = 4 << 10   // bytes; a smaller limit in welcome is nonsense
	MaxHelloEpochs    = 256
	MaxPacked         = 16 << 10 // bytes of a packed block, packed or not
	MaxBlocks         = 256      // blocks in an update
	MaxBlockN         = 65536    // readings in a block
	MaxBlockRaw       = 1 << 20  // bytes of a block after decompression
	MaxEventBody      = 16 << 10 // bytes of an event's body, or of a command's args
	MaxCommandTTL     = 7 * 24 * time.Hour
	MaxStatusList     = 256       // conditions, devices, or channels of one device in a status
	MaxFigures        = 64        // in a status
	MaxText           = 1 << 10   // bytes of a sentence for people
	MaxConfigDoc      = 128 << 10 // bytes; with every one escaped it still fits a message in JSON
	MaxReportedErrors = 64
)

// Seq numbers stay below 2^63, so that they fit any language's integer and
// first+n never wraps.
const maxSeq = 1<<63 - 1

const (
	maxCaps    = 32
	maxDrainMS = 24 * 3600 * 1000
)

// DefaultWindows hold where welcome says nothing.
var DefaultWindows = Windows{
	Ev:   Window{Msgs: 16, Bytes: 64 << 10},
	Live: Window{Msgs: 8, Bytes: 256 << 10},
	Back: Window{Msgs: 4, Bytes: 512 << 10},
}
