package block

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// MaxPacked is how big a block may be, with its payload not compressed, to be
// packed. Both ends of a line keep one of that size.
const MaxPacked = 16 << 10

// Small blocks that follow each other on one line say mostly the same: the
// names of the channels, the epoch, the anchor. So such a block can be packed:
// its bytes, with the payload not compressed, as raw DEFLATE (RFC 1951) whose
// preset dictionary is the block packed before it on the same line, in the
// same form; that of the first is empty. Twenty readings of twenty channels
// take some 150 bytes so, 450 alone. What arrives is again a block that
// decodes alone.

// A Packer packs the blocks that one line sends. The zero Packer is ready.
type Packer struct {
	dec    *Decoder
	out    bytes.Buffer
	writer *flate.Writer
	before []byte
}

// Pack gives the packed form of a block, valid until the next call, and the
// block as the next one will be compared to: the caller gives it to Sent when
// the packed form has left. A block that is too big or thinned is ErrLimit.
func (p *Packer) Pack(b []byte) (packed, loose []byte, err error) {
	if p.dec == nil {
		p.dec = NewDecoder()
	}
	if loose, err = p.dec.loosen(b); err != nil {
		return nil, nil, err
	}
	p.out.Reset()
	if p.writer == nil {
		p.writer, err = flate.NewWriterDict(&p.out, 6, p.before)
	} else {
		p.writer.ResetDict(&p.out, p.before)
	}
	if err == nil {
		_, err = p.writer.Write(loose)
	}
	if err := errors.Join(err, p.writer.Close()); err != nil {
		return nil, nil, fmt.Errorf("pack block: %w", err)
	}
	return p.out.Bytes(), loose, nil
}

// Sent says that a packed block has left.
func (p *Packer) Sent(loose []byte) { p.before = loose }

// loosen gives a copy of a block whose payload is not compressed.
func (d *Decoder) loosen(b []byte) ([]byte, error) {
	h, err := parse(b)
	if err != nil {
		return nil, err
	}
	if HeaderSize+h.raw > MaxPacked || h.Thinned {
		return nil, fmt.Errorf("pack block: %w: %d bytes", ErrLimit, HeaderSize+h.raw)
	}
	raw, err := d.unpack(&h, b[HeaderSize:])
	if err != nil {
		return nil, err
	}
	loose := append(make([]byte, HeaderSize, HeaderSize+len(raw)), raw...)
	h.compressed, h.payload = false, len(raw)
	h.put(loose)
	return loose, nil
}

// An Unpacker makes blocks of what a Packer packed, in the same order. The
// zero Unpacker is ready; it keeps one small block.
type Unpacker struct{ before []byte }

// Unpack gives the block, compressed where that is smaller by the given
// encoder. The error is ErrCorrupt or ErrLimit, and then what comes after on
// this line cannot be read either.
func (u *Unpacker) Unpack(packed []byte, e *Encoder) ([]byte, error) {
	from := flate.NewReaderDict(bytes.NewReader(packed), u.before)
	loose, err := io.ReadAll(io.LimitReader(from, MaxPacked+1))
	if err != nil {
		return nil, fmt.Errorf("%w: unpack: %w", ErrCorrupt, err)
	}
	if len(loose) > MaxPacked {
		return nil, fmt.Errorf("unpack block: %w: more than %d bytes", ErrLimit, MaxPacked)
	}
	h, err := parse(loose)
	if err != nil {
		return nil, err
	}
	if h.compressed || h.Thinned {
		return nil, fmt.Errorf("%w: a packed block must hold its readings as they are", ErrCorrupt)
	}
	u.before = loose
	return e.tighten(h, loose)
}

// tighten gives the block with its payload compressed, if that is smaller.
func (e *Encoder) tighten(h header, loose []byte) ([]byte, error) {
	e.raw.Reset()
	e.raw.Write(loose[HeaderSize:])
	b := make([]byte, HeaderSize, len(loose))
	b, h.compressed = e.appendPayload(b)
	h.payload = len(b) - HeaderSize
	h.put(b)
	return b, nil
}
