package wire

// What a message may hold at most. Both sides check before they allocate.
const (
	MaxMessage     = 1 << 20   // bytes, hard; NATS' max_payload
	DefaultMessage = 256 << 10 // bytes, unless welcome says otherwise
	MinMessage     = 4 << 10   // bytes; a smaller limit in welcome is nonsense
	MaxHelloEpochs = 256
	MaxBlocks      = 256     // blocks in an update
	MaxBlockN      = 65536   // readings in a block
	MaxBlockRaw    = 1 << 20 // bytes of a block after decompression
)

// Seq numbers stay below 2^63, so that they fit any language's integer and
// first+n never wraps.
const maxSeq = 1<<63 - 1
