package block

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/fieldgate/fieldgate/gateway"
)

// An Encoder makes blocks. It keeps its buffers; one goroutine at a time.
type Encoder struct {
	zstd    *zstd.Encoder
	index   map[*gateway.Channel]int
	columns []column // of the block at hand, then spare ones
	guess   guesser
	doc     document
	raw     bytes.Buffer
}

// column gathers one channel's readings. Its slices are reused.
type column struct {
	channel *gateway.Channel
	ticks   []int64 // µs after T0, at first
	values  []float64
	ints    []int64
	series  [2][]int64 // of ticks, of ints
	quality []uint64   // without the last run
	run     gateway.Quality
	runLen  uint64
}

// NewEncoder makes an encoder. It holds 4.5 MB once used, nearly all of it the
// tables of the compressor.
func NewEncoder() *Encoder {
	z := must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(128<<10),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true)))
	return &Encoder{zstd: z, index: map[*gateway.Channel]int{}}
}

// Append appends one block of all of rs to dst. Of h it takes epoch, first
// seq and anchor; count, T0 and T1 are those of rs. The error is ErrLimit,
// and then dst is returned as it was; the caller tries fewer readings.
func (e *Encoder) Append(dst []byte, h gateway.BlockHeader, rs []gateway.Reading) ([]byte, error) {
	if len(rs) < 1 || len(rs) > MaxReadings {
		return dst, fmt.Errorf("encode block: %w: %d readings", ErrLimit, len(rs))
	}
	full := header{BlockHeader: h}
	full.N, full.Thinned = uint64(len(rs)), false
	full.T0, full.T1 = span(rs)
	if err := e.gather(rs, full.T0); err != nil {
		return dst, err
	}
	e.writeColumns()
	return e.appendBlock(dst, full, &e.doc)
}

// appendBlock appends header and document.
func (e *Encoder) appendBlock(dst []byte, full header, doc any) ([]byte, error) {
	e.raw.Reset()
	if err := encMode.MarshalToBuffer(doc, &e.raw); err != nil {
		return dst, fmt.Errorf("encode block: %w", err)
	}
	if full.raw = e.raw.Len(); full.raw > MaxRaw {
		return dst, fmt.Errorf("encode block: %w: document of %d bytes", ErrLimit, full.raw)
	}
	start := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst, full.compressed = e.appendPayload(dst)
	full.payload = len(dst) - start - HeaderSize
	full.put(dst[start:])
	return dst, nil
}

func span(rs []gateway.Reading) (t0, t1 gateway.Stamp) {
	t0, t1 = rs[0].At, rs[0].At
	for i := range rs {
		t0, t1 = min(t0, rs[i].At), max(t1, rs[i].At)
	}
	return t0, t1
}

// appendPayload appends the document, compressed where that is smaller and a
// decoder will still believe the ratio.
func (e *Encoder) appendPayload(dst []byte) ([]byte, bool) {
	start, raw := len(dst), e.raw.Bytes()
	if len(raw) >= compressFrom {
		dst = e.zstd.EncodeAll(raw, dst)
		if n := len(dst) - start; n < len(raw) && len(raw) <= MaxRatio*n {
			return dst, true
		}
	}
	return append(dst[:start], raw...), false
}

// gather sorts the readings into columns and writes the order column.
func (e *Encoder) gather(rs []gateway.Reading, t0 gateway.Stamp) error {
	clear(e.index)
	e.guess.reset()
	e.doc.Order = e.doc.Order[:0]
	right := uint64(0)
	for i := range rs {
		guess := e.guess.guess()
		c := guess
		if c == e.guess.fresh || e.columns[c].channel != rs[i].Channel {
			c = e.find(rs[i].Channel)
		}
		if c == MaxChannels {
			return fmt.Errorf("encode block: %w: more than %d channels", ErrLimit, MaxChannels)
		}
		if c == guess {
			right++
		} else {
			e.doc.Order = append(e.doc.Order, right, uint64(c))
			right = 0
		}
		e.guess.saw(c)
		e.columns[c].add(&rs[i], t0)
	}
	return nil
}

// find gives the index of ch's column, a new one for a new channel.
func (e *Encoder) find(ch *gateway.Channel) int {
	if c, known := e.index[ch]; known {
		return c
	}
	c := e.guess.fresh
	e.index[ch] = c
	if c == len(e.columns) {
		e.columns = append(e.columns, column{})
	}
	e.columns[c].reset(ch)
	return c
}

func (c *column) reset(ch *gateway.Channel) {
	c.channel, c.run, c.runLen = ch, 0, 0
	c.ticks, c.values, c.ints, c.quality = c.ticks[:0], c.values[:0], c.ints[:0], c.quality[:0]
}

func (c *column) add(r *gateway.Reading, t0 gateway.Stamp) {
	if r.Quality != c.run {
		if c.runLen > 0 {
			c.quality = append(c.quality, uint64(c.run), c.runLen)
		}
		c.run, c.runLen = r.Quality, 0
	}
	c.runLen++
	c.ticks = append(c.ticks, int64(r.At-t0))
	c.values = append(c.values, r.Value)
}

// writeColumns makes the document of what was gathered.
func (e *Encoder) writeColumns() {
	columns := e.columns[:e.guess.fresh]
	e.doc.Unit = unit(columns)
	e.doc.Times, e.doc.Channels = e.doc.Times[:0], e.doc.Channels[:0]
	for i := range columns {
		c := &columns[i]
		d := channel{Device: c.channel.Device, Quantity: c.channel.Quantity, Unit: c.channel.Unit, Time: e.time(columns, i)}
		c.writeValues(&d)
		if d.Quality = c.quality; c.run != gateway.Good || len(c.quality) > 0 {
			d.Quality = append(c.quality, uint64(c.run))
		}
		e.doc.Channels = append(e.doc.Channels, d)
	}
}

// time gives the index of the time series of column i: that of the column
// before it when both were read together, else a new one.
func (e *Encoder) time(columns []column, i int) uint64 {
	c := &columns[i]
	if i == 0 || !slices.Equal(c.ticks, columns[i-1].ticks) {
		c.series[0] = appendSeries(c.series[0][:0], c.ticks)
		e.doc.Times = append(e.doc.Times, c.series[0])
	}
	return uint64(len(e.doc.Times) - 1)
}

func (c *column) writeValues(d *channel) {
	ints, decimals, ok := scaled(c.ints, c.values)
	if !ok {
		d.Floats = c.values
		return
	}
	c.ints = ints
	c.series[1] = appendSeries(c.series[1][:0], c.ints)
	d.Ints, d.Decimals = c.series[1], uint64(decimals)
}

// unit finds the coarsest tick in which all times are whole, and counts the
// columns' times in it.
func unit(columns []column) uint64 {
	u := uint64(0)
	for i := range columns {
		for _, t := range columns[i].ticks {
			for v := uint64(t); v != 0 && u != 1; {
				u, v = v, u%v
			}
		}
	}
	if u <= 1 {
		return 1
	}
	for i := range columns {
		for k, t := range columns[i].ticks {
			columns[i].ticks[k] = int64(uint64(t) / u)
		}
	}
	return u
}
