package block

import "github.com/fieldgate/fieldgate/gateway"

// A Column is the readings of one channel in a block. Its slices are valid
// until the next block is read.
type Column struct {
	Channel *gateway.Channel
	At      []gateway.Stamp
	Values  []float64
	quality []uint64 // runs, as in the document
}

// Qualities calls each with the runs of equal quality, in order.
func (c *Column) Qualities(each func(q gateway.Quality, from, to int)) {
	at := 0
	for runs := c.quality; len(runs) > 1; runs = runs[2:] {
		to := min(at+int(runs[1]), len(c.Values))
		each(gateway.Quality(runs[0]), at, to)
		at = to
	}
	if at < len(c.Values) {
		q := gateway.Good
		if n := len(c.quality); n%2 == 1 {
			q = gateway.Quality(c.quality[n-1])
		}
		each(q, at, len(c.Values))
	}
}

// Columns reads the columns of a block that want asks for, without putting
// the readings into their order: that is what makes it fast. The error is
// ErrCorrupt, ErrVersion or ErrThinned.
func (d *Decoder) Columns(b []byte, want func(device, quantity string) bool, each func(*Column)) (gateway.BlockHeader, error) {
	h, err := parse(b)
	if err != nil {
		return h.BlockHeader, err
	}
	if err := d.readDocument(&h, b[HeaderSize:]); err != nil {
		return h.BlockHeader, err
	}
	if err := d.readColumns(int(h.N)); err != nil {
		return h.BlockHeader, err
	}
	for i := range d.columns {
		if c := &d.columns[i]; want(c.channel.Device, c.channel.Quantity) {
			d.column.fill(c, &h, d.doc.Unit)
			each(&d.column)
		}
	}
	return h.BlockHeader, nil
}

func (c *Column) fill(from *decoded, h *header, unit uint64) {
	c.Channel, c.quality = from.channel, from.quality
	c.At, c.Values = resized(c.At, from.n), resized(c.Values, from.n)
	for i, tick := range from.ticks {
		c.At[i] = h.T0 + gateway.Stamp(uint64(tick)*unit)
	}
	if len(from.floats) > 0 {
		copy(c.Values, from.floats)
		return
	}
	for i, v := range from.ints {
		c.Values[i] = float64(v) / from.power
	}
}
