package postgres

import (
	"encoding/binary"
	"math"
)

// A copyBuffer holds rows in the binary format of COPY (PostgreSQL's manual,
// "COPY", section "Binary Format"): a signature, then each row as a count of
// fields and each field with its length, all big-endian, then -1.
type copyBuffer struct {
	bytes []byte
	rows  int
}

const copySignature = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" // no flags, no extension

func (b *copyBuffer) reset() {
	b.bytes, b.rows = append(b.bytes[:0], copySignature...), 0
}

// end makes the buffer a whole stream.
func (b *copyBuffer) end() []byte {
	b.bytes = append(b.bytes, 0xff, 0xff)
	return b.bytes
}

func (b *copyBuffer) row(fields int) {
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, uint16(fields))
	b.rows++
}

func (b *copyBuffer) int8(v int64) {
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, 8)
	b.bytes = binary.BigEndian.AppendUint64(b.bytes, uint64(v))
}

func (b *copyBuffer) int4(v int32) {
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, 4)
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, uint32(v))
}

func (b *copyBuffer) int2(v int16) {
	b.bytes = binary.BigEndian.AppendUint32(b.bytes, 2)
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, uint16(v))
}

// float8 keeps every bit, those of NaN too.
func (b *copyBuffer) float8(v float64) { b.int8(int64(math.Float64bits(v))) }

// time takes microseconds since 1970; PostgreSQL counts from 2000.
func (b *copyBuffer) time(us int64) { b.int8(us - from1970to2000) }

const from1970to2000 = 946_684_800 * 1_000_000 // µs
