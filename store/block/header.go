package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// Magic is what every block begins with; salvage looks for it.
const Magic = "fgbk"

// HeaderSize is the size of the header in bytes. Numbers are big-endian,
// times are microseconds:
//
//	 0 magic "fgbk"          24 first seq, 8
//	 4 CRC-32C of the rest   32 epoch, 16
//	 8 version (1)           48 boot id, 16
//	 9 flags (below)         64 anchor: from, 8
//	10 anchor: quality       72 anchor: offset, 8
//	11 zero                  80 anchor: error, 8
//	12 bytes of payload, 4   88 T0, earliest stamp, 8
//	16 bytes of document, 4  96 T1, latest stamp, 8
//	20 readings, 4          104 payload
//
// Flags: 1 the document is compressed with zstd; 2 it is that of thinned
// readings.
const HeaderSize = 104

const (
	version        = 1
	flagCompressed = 1
	flagThinned    = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A header is everything in front of the payload.
type header struct {
	gateway.BlockHeader
	compressed   bool
	payload, raw int // bytes
}

// put writes h and the checksum into the first HeaderSize bytes of b, a
// whole block.
func (h *header) put(b []byte) {
	copy(b, Magic)
	b[8], b[9], b[10], b[11] = version, 0, byte(h.Anchor.Quality), 0
	if h.compressed {
		b[9] |= flagCompressed
	}
	if h.Thinned {
		b[9] |= flagThinned
	}
	be := binary.BigEndian
	be.PutUint32(b[12:], uint32(h.payload))
	be.PutUint32(b[16:], uint32(h.raw))
	be.PutUint32(b[20:], uint32(h.N))
	be.PutUint64(b[24:], h.First)
	copy(b[32:], h.Epoch[:])
	copy(b[48:], h.Anchor.Boot[:])
	be.PutUint64(b[64:], uint64(h.Anchor.From))
	be.PutUint64(b[72:], uint64(h.Anchor.Offset))
	be.PutUint64(b[80:], uint64(roundUp(h.Anchor.Error)))
	be.PutUint64(b[88:], uint64(h.T0))
	be.PutUint64(b[96:], uint64(h.T1))
	be.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

// roundUp gives whole microseconds, never less than the bound d.
func roundUp(d time.Duration) int64 {
	us := d.Microseconds()
	if d > time.Duration(us)*time.Microsecond {
		us++
	}
	return us
}

// Parse checks magic, version, length and checksum of a block and reads its
// header. It does not look into the payload. The error is ErrCorrupt or
// ErrVersion.
func Parse(b []byte) (gateway.BlockHeader, error) {
	h, err := parse(b)
	return h.BlockHeader, err
}

func parse(b []byte) (header, error) {
	var h header
	if len(b) < HeaderSize || string(b[:4]) != Magic {
		return h, fmt.Errorf("%w: %d bytes without a header", ErrCorrupt, len(b))
	}
	be := binary.BigEndian
	if be.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) {
		return h, fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	if b[8] != version || b[9]&^(flagCompressed|flagThinned) != 0 {
		return h, fmt.Errorf("%w: version %d, flags %#x", ErrVersion, b[8], b[9])
	}
	h.compressed, h.Thinned = b[9]&flagCompressed != 0, b[9]&flagThinned != 0
	h.payload, h.raw = int(be.Uint32(b[12:])), int(be.Uint32(b[16:]))
	h.N, h.First = uint64(be.Uint32(b[20:])), be.Uint64(b[24:])
	h.Epoch, h.Anchor.Boot = gateway.EpochID(b[32:48]), gateway.BootID(b[48:64])
	h.Anchor.From = gateway.Stamp(be.Uint64(b[64:]))
	h.Anchor.Offset = int64(be.Uint64(b[72:]))
	h.Anchor.Error = time.Duration(be.Uint64(b[80:])) * time.Microsecond
	h.Anchor.Quality = gateway.ClockQuality(b[10])
	h.T0, h.T1 = gateway.Stamp(be.Uint64(b[88:])), gateway.Stamp(be.Uint64(b[96:]))
	return h, h.check(len(b))
}

// check tells whether the header can be that of a block of size bytes.
func (h *header) check(size int) error {
	switch {
	case h.payload != size-HeaderSize, !h.compressed && h.raw != h.payload:
		return fmt.Errorf("%w: wrong length", ErrCorrupt)
	case h.N < 1, h.First < 1, h.Last() < h.First, h.T1 < h.T0:
		return fmt.Errorf("%w: empty or backward range", ErrCorrupt)
	case h.N > MaxReadings, h.raw > MaxRaw, h.raw > MaxRatio*h.payload:
		return fmt.Errorf("%w: %w: %d readings, %d of %d bytes", ErrCorrupt, ErrLimit, h.N, h.payload, h.raw)
	}
	return nil
}
