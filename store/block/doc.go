// Package block is the format of storage and of transmission: consecutive
// readings of one epoch in columns, with a header in the clear.
//
// A block is a header of fixed size, whose fields stand at fixed places, and
// one CBOR document (block.cddl), compressed with zstd where that is smaller.
// A block needs nothing beside itself to be read: it names its channels, and
// its order column gives every reading its seq. What was put in comes out bit
// for bit, NaN, infinities and the negative zero included.
//
// A thinned block stands in the place of readings that gave way to newer ones:
// the same header, and of every channel and interval the number of readings,
// their least, greatest and mean value and their worst quality.
package block

import "errors"

// What a block may hold at most. A decoder checks before it allocates.
const (
	MaxReadings = 65536   // readings
	MaxChannels = 2000    // channels
	MaxRaw      = 1 << 20 // bytes of the document
	MaxRatio    = 200     // bytes of the document for one of the payload
)

// compressFrom is the size of a document, in bytes, below which compression
// is not worth a decoder's time.
const compressFrom = 256

// What can be wrong with a block.
var (
	ErrCorrupt = errors.New("corrupt block")             // not what an Encoder wrote
	ErrVersion = errors.New("block of a later version")  // intact, but not for this version
	ErrLimit   = errors.New("limit of a block exceeded") // more readings, channels or bytes than a block may hold
	ErrThinned = errors.New("block of thinned readings") // read it with Summaries
)
