package block

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/fieldgate/fieldgate/gateway"
)

// A Decoder reads blocks. It keeps its buffers; one goroutine at a time.
type Decoder struct {
	zstd     *zstd.Decoder
	channels map[gateway.Channel]*gateway.Channel // so that one channel has one pointer in block after block
	raw      []byte
	doc      document
	columns  []decoded
	ticks    [][]int64 // one for each of doc.Times
	order    orderReader
	readings []gateway.Reading
	column   Column
}

// decoded is one channel's columns, read as far as at.
type decoded struct {
	channel *gateway.Channel
	ticks   []int64
	ints    []int64
	power   float64
	floats  []float64 // instead of ints
	quality []uint64
	n, at   int
}

// NewDecoder makes a decoder. It holds 0.3 MB once used.
func NewDecoder() *Decoder {
	z := must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxRaw), zstd.WithDecoderMaxWindow(MaxRaw)))
	return &Decoder{zstd: z, channels: map[gateway.Channel]*gateway.Channel{}}
}

// Decode reads one block. The readings are valid until the next call; their
// channels stay, and are the same pointers in later blocks. The error is
// ErrCorrupt, ErrVersion or ErrThinned.
func (d *Decoder) Decode(b []byte) (gateway.BlockHeader, []gateway.Reading, error) {
	h, err := parse(b)
	if err != nil {
		return h.BlockHeader, nil, err
	}
	if err := d.readDocument(&h, b[HeaderSize:]); err != nil {
		return h.BlockHeader, nil, err
	}
	if err := d.readColumns(int(h.N)); err != nil {
		return h.BlockHeader, nil, err
	}
	if err := d.readReadings(&h); err != nil {
		return h.BlockHeader, nil, err
	}
	return h.BlockHeader, d.readings, nil
}

func (d *Decoder) readDocument(h *header, payload []byte) error {
	if h.Thinned {
		return ErrThinned
	}
	raw, err := d.unpack(h, payload)
	if err != nil {
		return err
	}
	d.doc = document{Times: d.doc.Times[:0], Channels: d.doc.Channels[:0], Order: d.doc.Order[:0]}
	if err := decMode.Unmarshal(raw, &d.doc); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(d.doc.Channels) > MaxChannels {
		return fmt.Errorf("%w: %w: %d channels", ErrCorrupt, ErrLimit, len(d.doc.Channels))
	}
	return nil
}

// unpack gives the document's bytes, valid until the next block is read.
func (d *Decoder) unpack(h *header, payload []byte) (raw []byte, err error) {
	raw = payload
	if h.compressed {
		if raw, err = d.zstd.DecodeAll(payload, d.raw[:0]); err != nil {
			return nil, fmt.Errorf("%w: decompress: %w", ErrCorrupt, err)
		}
		d.raw = raw
	}
	if len(raw) != h.raw {
		return nil, fmt.Errorf("%w: document of %d bytes, not %d", ErrCorrupt, len(raw), h.raw)
	}
	return raw, nil
}

// readColumns expands the columns. That they hold n readings together is
// known before anything of that size is allocated.
func (d *Decoder) readColumns(n int) error {
	if err := d.readTimes(n); err != nil {
		return err
	}
	d.columns = resized(d.columns, len(d.doc.Channels))
	for i := range d.columns {
		c, from := &d.columns[i], &d.doc.Channels[i]
		if from.Time >= uint64(len(d.ticks)) {
			return fmt.Errorf("%w: %s/%s has no times", ErrCorrupt, from.Device, from.Quantity)
		}
		c.ticks = d.ticks[from.Time]
		if err := c.read(from); err != nil {
			return err
		}
		if n -= c.n; n < 0 {
			break
		}
		c.channel = d.intern(from.Device, from.Quantity, from.Unit)
	}
	if n != 0 {
		return fmt.Errorf("%w: columns do not add up to the header's count", ErrCorrupt)
	}
	return nil
}

// readTimes expands the time series, each of which has at least one channel
// of its own length, so that together they have at most n elements.
func (d *Decoder) readTimes(n int) error {
	d.ticks = resized(d.ticks, len(d.doc.Times))
	for i, s := range d.doc.Times {
		length := seriesLen(s)
		if n -= length; length == 0 || n < 0 {
			return fmt.Errorf("%w: time series %d", ErrCorrupt, i)
		}
		d.ticks[i] = resized(d.ticks[i], length)
		expand(d.ticks[i], s)
	}
	return nil
}

func (c *decoded) read(from *channel) error {
	c.floats, c.quality, c.at = from.Floats, from.Quality, 0
	c.n = len(c.floats)
	if c.n == 0 {
		c.n = seriesLen(from.Ints)
		c.ints = resized(c.ints, c.n)
	}
	if c.n == 0 || c.n != len(c.ticks) || from.Decimals > maxDecimals {
		return fmt.Errorf("%w: columns of %s/%s", ErrCorrupt, from.Device, from.Quantity)
	}
	if len(c.floats) == 0 {
		c.power = powers[from.Decimals]
		expand(c.ints, from.Ints)
	}
	return nil
}

// intern gives the one pointer for a channel of these names.
func (d *Decoder) intern(device, quantity, unit string) *gateway.Channel {
	key := gateway.Channel{Device: device, Quantity: quantity, Unit: unit}
	ch := d.channels[key]
	if ch == nil {
		if len(d.channels) >= 2*MaxChannels {
			clear(d.channels)
		}
		ch = &key
		d.channels[key] = ch
	}
	return ch
}

// readReadings puts the columns' readings back into their order.
func (d *Decoder) readReadings(h *header) error {
	if err := d.order.reset(d.doc.Order); err != nil {
		return err
	}
	d.readings = resized(d.readings, int(h.N))
	for i := range d.readings {
		c, err := d.order.next()
		if err != nil {
			return err
		}
		if c >= len(d.columns) || d.columns[c].at == d.columns[c].n {
			return fmt.Errorf("%w: order and columns differ", ErrCorrupt)
		}
		d.columns[c].next(&d.readings[i])
		d.readings[i].At = h.T0 + gateway.Stamp(uint64(d.readings[i].At)*d.doc.Unit)
	}
	return nil
}

// next reads the column's next reading, its stamp in ticks.
func (c *decoded) next(r *gateway.Reading) {
	r.Channel, r.At = c.channel, gateway.Stamp(c.ticks[c.at])
	if len(c.floats) > 0 {
		r.Value = c.floats[c.at]
	} else {
		r.Value = float64(c.ints[c.at]) / c.power
	}
	c.at++
	r.Quality, c.quality = nextRun(c.quality)
}

// resized gives s with length n, its elements of before kept for reuse.
func resized[E any](s []E, n int) []E {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]E, n-cap(s))...)
}
