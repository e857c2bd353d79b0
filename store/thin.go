package store

import (
	"math"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// A reducer makes downsampled records: of consecutive readings of one epoch it
// keeps, per channel and interval, how many there were and their envelope.
type reducer struct {
	interval int64 // µs
	dec      *block.Decoder
	ordinal  uint64
	header   gateway.BlockHeader // of what was taken in
	channels []*gateway.Channel  // in order of their first reading
	sums     map[*gateway.Channel][]gateway.Summary
}

func newReducer(interval int64) *reducer {
	return &reducer{interval: interval, dec: block.NewDecoder(), sums: map[*gateway.Channel][]gateway.Summary{}}
}

// follows tells whether a block can join what was taken in.
func (r *reducer) follows(b *record) bool {
	h := &r.header
	return h.N == 0 || r.ordinal == b.ordinal && h.Last()+1 == b.First && h.Anchor.Boot == b.Anchor.Boot && h.N+b.N <= block.MaxReadings
}

// add takes in a block of readings.
func (r *reducer) add(b *record) error {
	_, err := r.dec.Columns(b.value, func(string, string) bool { return true }, r.column)
	if err != nil {
		return err
	}
	if r.header.N == 0 {
		r.ordinal, r.header = b.ordinal, b.BlockHeader
		return nil
	}
	r.header.N += b.N
	r.header.T0, r.header.T1 = min(r.header.T0, b.T0), max(r.header.T1, b.T1)
	r.header.Anchor = b.Anchor // the newer knows more
	return nil
}

func (r *reducer) column(c *block.Column) {
	sums, known := r.sums[c.Channel]
	if !known {
		r.channels = append(r.channels, c.Channel)
	}
	c.Qualities(func(q gateway.Quality, from, to int) {
		for k := from; k < to; k++ {
			begins := c.At[k] - c.At[k]%gateway.Stamp(r.interval)
			if n := len(sums); n == 0 || sums[n-1].From != begins {
				sums = append(sums, gateway.Summary{Channel: c.Channel, From: begins})
			}
			addReading(&sums[len(sums)-1], c.Values[k], q)
		}
	})
	r.sums[c.Channel] = sums
}

// addReading counts a value in; until the record is made Mean holds the sum.
func addReading(s *gateway.Summary, value float64, q gateway.Quality) {
	s.N++
	s.Worst = max(s.Worst, q)
	if value != value {
		s.NaN++
		return
	}
	first := s.N-s.NaN == 1
	if first || value < s.Min {
		s.Min = value
	}
	if first || value > s.Max {
		s.Max = value
	}
	s.Mean += value
}

// empty makes the record of all that was taken in.
func (r *reducer) empty(enc *block.Encoder) (record, error) {
	var all []gateway.Summary
	for _, ch := range r.channels {
		all = append(all, r.sums[ch]...)
	}
	for i := range all {
		finish(&all[i], r.interval)
	}
	rec := record{ordinal: r.ordinal, BlockHeader: r.header}
	value, err := enc.AppendThinned(nil, r.header, all)
	if err == nil {
		rec.value = value
		rec.BlockHeader, err = block.Parse(value)
	}
	r.header = gateway.BlockHeader{}
	r.channels = slices.Delete(r.channels, 0, len(r.channels))
	clear(r.sums)
	return rec, err
}

// finish makes of a sum the mean.
func finish(s *gateway.Summary, interval int64) {
	s.Interval = time.Duration(interval) * time.Microsecond
	if finite := s.N - s.NaN; finite > 0 {
		s.Mean = min(max(s.Mean/float64(finite), s.Min), s.Max)
		return
	}
	s.Min, s.Max, s.Mean = math.NaN(), math.NaN(), math.NaN()
}
