package block

import (
	"fmt"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// thinned is the payload of a thinned block (block.cddl says the same).
type thinned struct {
	Interval uint64           `cbor:"0,keyasint"` // µs
	Channels []thinnedChannel `cbor:"1,keyasint"`
}

// thinnedChannel is one channel's columns, one element an interval.
type thinnedChannel struct {
	_         struct{} `cbor:",toarray"`
	Device    string
	Quantity  string
	Unit      string
	Intervals []int64 // series
	Counts    []int64 // series
	NaNs      []int64 // series; empty: none
	Decimals  uint64
	Mins      []int64 // series; empty: Floats
	Maxs      []int64
	Means     []int64   // with meanDecimals more
	Floats    []float64 // all Mins, all Maxs, all Means
	Worst     []uint64  // runs, as in channel
}

// meanDecimals is how many decimals a mean keeps beyond those of its values.
const meanDecimals = 2

// AppendThinned appends one thinned block of all of sums to dst. Their
// intervals are equally long and begin at multiples of their length; the
// summaries of one channel stand together. Of h it takes epoch, first seq,
// anchor, T0 and T1; the count is that of the readings. The error is ErrLimit,
// and then dst is returned as it was.
func (e *Encoder) AppendThinned(dst []byte, h gateway.BlockHeader, sums []gateway.Summary) ([]byte, error) {
	full := header{BlockHeader: h}
	full.N, full.Thinned = 0, true
	for i := range sums {
		full.N += sums[i].N
	}
	if full.N < 1 || full.N > MaxReadings {
		return dst, fmt.Errorf("encode thinned block: %w: of %d readings", ErrLimit, full.N)
	}
	doc := thinned{Interval: uint64(sums[0].Interval.Microseconds())}
	for len(sums) > 0 {
		n := 1
		for n < len(sums) && sums[n].Channel == sums[0].Channel {
			n++
		}
		doc.Channels = append(doc.Channels, thinnedColumns(sums[:n]))
		sums = sums[n:]
	}
	if len(doc.Channels) > MaxChannels {
		return dst, fmt.Errorf("encode thinned block: %w: %d channels", ErrLimit, len(doc.Channels))
	}
	return e.appendBlock(dst, full, &doc)
}

// thinnedColumns makes the columns of one channel.
func thinnedColumns(sums []gateway.Summary) thinnedChannel {
	ch := sums[0].Channel
	t := thinnedChannel{Device: ch.Device, Quantity: ch.Quantity, Unit: ch.Unit}
	var intervals, counts, nans []int64
	var mins, maxs, means []float64
	anyNaN, run, length := false, sums[0].Worst, uint64(0)
	for i := range sums {
		s := &sums[i]
		intervals = append(intervals, int64(s.From)/s.Interval.Microseconds())
		counts, nans = append(counts, int64(s.N)), append(nans, int64(s.NaN))
		mins, maxs, means = append(mins, s.Min), append(maxs, s.Max), append(means, s.Mean)
		anyNaN = anyNaN || s.NaN > 0
		if s.Worst != run {
			t.Worst = append(t.Worst, uint64(run), length)
			run, length = s.Worst, 0
		}
		length++
	}
	if run != gateway.Good || len(t.Worst) > 0 {
		t.Worst = append(t.Worst, uint64(run))
	}
	t.Intervals, t.Counts = appendSeries(nil, intervals), appendSeries(nil, counts)
	if anyNaN {
		t.NaNs = appendSeries(nil, nans)
	}
	t.writeValues(mins, maxs, means)
	return t
}

// writeValues writes the values as integers where that is exact for the least
// and greatest.
func (t *thinnedChannel) writeValues(mins, maxs, means []float64) {
	n := len(mins)
	ints, decimals, ok := scaled(nil, append(mins[:n:n], maxs...))
	rounded := make([]int64, n)
	for i := range means {
		f := math.RoundToEven(means[i] * powers[min(decimals+meanDecimals, maxDecimals)])
		ok = ok && decimals+meanDecimals <= maxDecimals && math.Abs(f) <= exact
		rounded[i] = int64(f)
	}
	if !ok {
		t.Floats = append(append(mins[:n:n], maxs...), means...)
		return
	}
	t.Decimals = uint64(decimals)
	t.Mins, t.Maxs, t.Means = appendSeries(nil, ints[:n]), appendSeries(nil, ints[n:]), appendSeries(nil, rounded)
}

// Summaries reads a thinned block. The summaries are in the order in which
// they were put in. The error is ErrCorrupt or ErrVersion.
func (d *Decoder) Summaries(b []byte) (gateway.BlockHeader, []gateway.Summary, error) {
	h, err := parse(b)
	if err != nil {
		return h.BlockHeader, nil, err
	}
	if !h.Thinned {
		return h.BlockHeader, nil, fmt.Errorf("%w: its readings are not thinned", ErrCorrupt)
	}
	raw, err := d.unpack(&h, b[HeaderSize:])
	if err != nil {
		return h.BlockHeader, nil, err
	}
	var doc thinned
	if err := decMode.Unmarshal(raw, &doc); err != nil {
		return h.BlockHeader, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(doc.Channels) > MaxChannels || doc.Interval < 1 || doc.Interval > uint64(math.MaxInt64/time.Microsecond) {
		return h.BlockHeader, nil, fmt.Errorf("%w: %w: %d channels, interval of %d", ErrCorrupt, ErrLimit, len(doc.Channels), doc.Interval)
	}
	var sums []gateway.Summary
	left := h.N
	for i := range doc.Channels {
		if sums, err = d.appendSummaries(sums, &doc.Channels[i], doc.Interval, &left); err != nil {
			return h.BlockHeader, nil, err
		}
	}
	if left != 0 {
		return h.BlockHeader, nil, fmt.Errorf("%w: intervals do not add up to the header's count", ErrCorrupt)
	}
	return h.BlockHeader, sums, nil
}

// appendSummaries reads one channel's columns; left counts its readings down.
func (d *Decoder) appendSummaries(sums []gateway.Summary, t *thinnedChannel, interval uint64, left *uint64) ([]gateway.Summary, error) {
	n := seriesLen(t.Intervals)
	wrong := fmt.Errorf("%w: columns of %s/%s", ErrCorrupt, t.Device, t.Quantity)
	if n == 0 || uint64(n) > *left || seriesLen(t.Counts) != n || len(t.NaNs) > 0 && seriesLen(t.NaNs) != n {
		return nil, wrong
	}
	values, ok := t.values(n)
	if !ok {
		return nil, wrong
	}
	intervals, counts, nans := make([]int64, n), make([]int64, n), make([]int64, n)
	expand(intervals, t.Intervals)
	expand(counts, t.Counts)
	if len(t.NaNs) > 0 {
		expand(nans, t.NaNs)
	}
	channel, worst := d.intern(t.Device, t.Quantity, t.Unit), t.Worst
	for i := range n {
		count := uint64(counts[i])
		if counts[i] < 1 || count > *left || nans[i] < 0 || nans[i] > counts[i] {
			return nil, wrong
		}
		*left -= count
		s := gateway.Summary{Channel: channel, From: gateway.Stamp(intervals[i] * int64(interval)),
			Interval: time.Duration(interval) * time.Microsecond, N: count, NaN: uint64(nans[i]),
			Min: values[i], Max: values[n+i], Mean: values[2*n+i]}
		s.Worst, worst = nextRun(worst)
		sums = append(sums, s)
	}
	return sums, nil
}

// nextRun takes one element off runs of quality.
func nextRun(runs []uint64) (gateway.Quality, []uint64) {
	switch {
	case len(runs) == 0:
		return gateway.Good, runs
	case len(runs) == 1:
		return gateway.Quality(runs[0]), runs
	}
	q := gateway.Quality(runs[0])
	if runs[1]--; runs[1] == 0 {
		runs = runs[2:]
	}
	return q, runs
}

// values gives least, greatest and mean values, n of each.
func (t *thinnedChannel) values(n int) ([]float64, bool) {
	if len(t.Floats) > 0 {
		return t.Floats, len(t.Floats) == 3*n
	}
	if t.Decimals+meanDecimals > maxDecimals {
		return nil, false
	}
	values, ints := make([]float64, 0, 3*n), make([]int64, n)
	for i, s := range [][]int64{t.Mins, t.Maxs, t.Means} {
		if seriesLen(s) != n {
			return nil, false
		}
		power := powers[t.Decimals]
		if i == 2 {
			power = powers[t.Decimals+meanDecimals]
		}
		expand(ints, s)
		for _, v := range ints {
			values = append(values, float64(v)/power)
		}
	}
	return values, true
}
