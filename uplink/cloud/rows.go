package cloud

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// The log holds blocks alone, so that all who read it know one form. Rows say
// wall times: the stamps of their blocks are microseconds since 1970, of no
// boot (boot id zero, which no anchor is ever of), and the anchor adds nothing.

// encoders are shared like decoders: one holds 4.5 MB.
var encoders = sync.Pool{New: func() any { return block.NewEncoder() }}

// asBlocks gives an update that says in blocks what u says in rows, and u
// itself if it has none.
func asBlocks(u *wire.Update) (*wire.Update, *flaw) {
	if len(u.Readings)+len(u.ThinnedRows) == 0 {
		return u, nil
	}
	if f := unreadable(u); f != nil {
		return nil, f
	}
	enc := encoders.Get().(*block.Encoder)
	defer encoders.Put(enc)
	b := *u
	b.Readings, b.ThinnedRows = nil, nil
	var err error
	if len(u.Readings) > 0 {
		w := rowWriter{enc: enc, epoch: u.Epoch, next: u.First, channels: channels{}}
		err = w.write(u.Readings)
		b.Blocks = w.blocks
	} else {
		b.Thinned, err = encodeThinned(enc, u)
	}
	if err == nil && len(b.Blocks) > wire.MaxBlocks {
		err = fmt.Errorf("the rows make %d blocks, at most %d are allowed: fewer rows in one update, or fewer changes of time",
			len(b.Blocks), wire.MaxBlocks)
	}
	if err != nil {
		return nil, &flaw{wire.NackBlock, err}
	}
	return &b, nil
}

// unreadable gives what is wrong with rows of which one has a stamp that is no
// time: the sender finds out which, and the session goes on.
func unreadable(u *wire.Update) *flaw {
	for i := range u.Readings {
		if !u.Readings[i].Timestamp.Readable() {
			return &flaw{wire.NackTime, fmt.Errorf("reading %d: the timestamp is not a time of RFC 3339 of the years 1 to 9999", i)}
		}
	}
	for i := range u.ThinnedRows {
		if !u.ThinnedRows[i].Timestamp.Readable() {
			return &flaw{wire.NackTime, fmt.Errorf("thinned row %d: the timestamp is not a time of RFC 3339 of the years 1 to 9999", i)}
		}
	}
	return nil
}

// channels gives rows of the same channel the same channel.
type channels map[gateway.Channel]*gateway.Channel

func (c channels) of(device, quantity, unit string) *gateway.Channel {
	key := gateway.Channel{Device: device, Quantity: quantity, Unit: unit}
	if c[key] == nil {
		c[key] = &key
	}
	return c[key]
}

// A rowWriter makes blocks of rows.
type rowWriter struct {
	enc      *block.Encoder
	epoch    gateway.EpochID
	next     uint64
	channels channels
	blocks   [][]byte
}

// write makes a block of each run of rows whose times are equally believable.
func (w *rowWriter) write(rows []wire.Row) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Time == rows[0].Time {
			n++
		}
		rs := make([]gateway.Reading, n)
		for i := range rs {
			r := &rows[i]
			rs[i] = gateway.Reading{
				Channel: w.channels.of(r.Device, r.Quantity, r.Unit), Value: value(r.Value),
				At: gateway.Stamp(r.Timestamp), Quality: qualityNamed(r.Quality),
			}
		}
		if err := w.block(rs, clockNamed(rows[0].Time)); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// block makes one block, or several if that would be too large.
func (w *rowWriter) block(rs []gateway.Reading, q gateway.ClockQuality) error {
	h := gateway.BlockHeader{Range: gateway.Range{Epoch: w.epoch, First: w.next}, Anchor: gateway.Anchor{Quality: q}}
	b, err := w.enc.Append(nil, h, rs)
	if errors.Is(err, block.ErrLimit) && len(rs) > 1 {
		if err := w.block(rs[:len(rs)/2], q); err != nil {
			return err
		}
		return w.block(rs[len(rs)/2:], q)
	}
	if err != nil {
		return err
	}
	w.blocks = append(w.blocks, b)
	w.next += uint64(len(rs))
	return nil
}

// encodeThinned makes the one block of thinned rows. Intervals in a block
// begin at multiples of their length, by the stamps of the gateway; by wall
// time they all begin equally long after one, which becomes the offset of the
// anchor.
func encodeThinned(enc *block.Encoder, u *wire.Update) ([]byte, error) {
	rows := u.ThinnedRows
	interval := time.Duration(math.Round(rows[0].IntervalS*1e6)) * time.Microsecond
	if interval < time.Microsecond || rows[0].IntervalS > (30*24*time.Hour).Seconds() {
		return nil, fmt.Errorf("interval_s is %g", rows[0].IntervalS)
	}
	us := wire.Time(interval.Microseconds())
	offset := (rows[0].Timestamp%us + us) % us
	h := gateway.BlockHeader{Range: gateway.Range{Epoch: u.Epoch, First: u.First}, Anchor: gateway.Anchor{Offset: int64(offset),
		Quality: clockNamed(rows[0].Time)}}
	chs, sums := channels{}, make([]gateway.Summary, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.IntervalS != rows[0].IntervalS || r.Time != rows[0].Time || (r.Timestamp-offset)%us != 0 {
			return nil, fmt.Errorf("thinned row %d has another interval_s, time or grid than the first", i)
		}
		s := &sums[i]
		*s = gateway.Summary{
			Channel: chs.of(r.Device, r.Quantity, r.Unit), From: gateway.Stamp(r.Timestamp - offset), Interval: interval, N: r.Count,
			Min: value(r.Min), Max: value(r.Max), Mean: value(r.Mean), Worst: qualityNamed(r.Quality),
		}
		if r.Min == nil {
			s.NaN = s.N
		}
		h.T0, h.T1 = min(cmp.Or(h.T0, s.From), s.From), max(h.T1, s.From.Add(interval))
	}
	slices.SortStableFunc(sums, func(a, b gateway.Summary) int {
		return cmp.Or(cmp.Compare(a.Channel.Device, b.Channel.Device), cmp.Compare(a.Channel.Quantity, b.Channel.Quantity),
			cmp.Compare(a.Channel.Unit, b.Channel.Unit))
	})
	return enc.AppendThinned(nil, h, sums)
}

// value gives what stands for null: not a number.
func value(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// The names of rows have been checked: what is none is the worst.
func qualityNamed(name string) gateway.Quality {
	for q := gateway.Good; q < gateway.Simulated; q++ {
		if q.String() == name {
			return q
		}
	}
	return gateway.Simulated
}

func clockNamed(name string) gateway.ClockQuality {
	for q := gateway.ClockNTP; q > gateway.ClockNone; q-- {
		if q.String() == name {
			return q
		}
	}
	return gateway.ClockNone
}
