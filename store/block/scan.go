package block

import (
	"bytes"
	"encoding/binary"
	"io"
)

// maxRecord is how long a block can be: header and payload.
const maxRecord = HeaderSize + MaxRaw

// scanStep is how much Scan reads at a time.
const scanStep = 1 << 20

// Scan finds the whole blocks in size bytes of a damaged file, by magic,
// length and checksum, with plain reads; what cannot be read is passed over
// page by page. found is given where a block lies and the block, which is
// valid until it returns. Scan holds 2 MiB.
func Scan(r io.ReaderAt, size int64, found func(offset int64, b []byte) error) error {
	buf := make([]byte, min(size, scanStep+maxRecord))
	for at := int64(0); at < size; {
		n := readAll(r, buf[:min(int64(len(buf)), size-at)], at)
		next, err := scanBuffer(buf[:n], at, found)
		if err != nil {
			return err
		}
		at = max(at+scanStep, next)
	}
	return nil
}

// scanBuffer looks for blocks that begin in the first scanStep bytes, and
// gives the offset behind the last one.
func scanBuffer(buf []byte, at int64, found func(int64, []byte) error) (next int64, err error) {
	for i := 0; i < min(len(buf), scanStep); {
		k := bytes.Index(buf[i:], []byte(Magic))
		if k < 0 {
			return next, nil
		}
		i += k
		b := whole(buf[i:])
		if b == nil || i >= scanStep {
			i++
			continue
		}
		if err := found(at+int64(i), b); err != nil {
			return next, err
		}
		i += len(b)
		next = at + int64(i)
	}
	return next, nil
}

// whole gives the block that b begins with, nil if there is none.
func whole(b []byte) []byte {
	if len(b) < HeaderSize {
		return nil
	}
	length := HeaderSize + int64(binary.BigEndian.Uint32(b[12:]))
	if length > int64(len(b)) {
		return nil
	}
	if _, err := parse(b[:length]); err != nil {
		return nil
	}
	return b[:length]
}

// readAll fills buf from offset at; pages that cannot be read are zeros.
func readAll(r io.ReaderAt, buf []byte, at int64) int {
	if n, err := r.ReadAt(buf, at); n == len(buf) || err == io.EOF {
		return n
	}
	const page = 4096
	for i := 0; i < len(buf); i += page {
		part := buf[i:min(len(buf), i+page)]
		if n, err := r.ReadAt(part, at+int64(i)); err != nil {
			clear(part[n:])
		}
	}
	return len(buf)
}
