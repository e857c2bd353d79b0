package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// MaxBuckets is how many buckets a query may ask for.
const MaxBuckets = 10_000

// History reads what was measured, out of volumes, journal and head. Wall time
// is derived by the rule of gateway.Timeline from all anchors that are known of
// each boot; readings of boots that never knew the time stand where their guess
// of it puts them. It holds no
// lock while it decodes. The error is that of the query, of ctx, ErrClosed,
// or that of the card; damaged blocks are left out.
func (s *Store) History(ctx context.Context, q gateway.HistoryQuery) (gateway.History, error) {
	if q.Buckets < 1 || q.Buckets > MaxBuckets || !q.From.Before(q.To) {
		return gateway.History{}, fmt.Errorf("history from %v to %v in %d buckets: out of bounds", q.From, q.To, q.Buckets)
	}
	h := newHistorian(q)
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return gateway.History{}, ErrClosed
	}
	h.anchors = s.timelinesLocked()
	volumes := s.viewsLocked()
	pieces := slices.Clone(s.journal.pieces)
	heads := s.headsLocked()
	s.openEndsLocked(h)
	s.mu.Unlock()
	for _, v := range volumes {
		if err := s.readVolume(ctx, v, h); err != nil {
			return gateway.History{}, fmt.Errorf("history: %w", err)
		}
	}
	for _, p := range pieces {
		h.block(p.BlockHeader, p.data)
	}
	for _, head := range heads {
		h.readings(head.readings, head.anchor)
	}
	return h.answer(), nil
}

// A view is what a volume held when a query began.
type view struct {
	*volume
	oldest, newest gateway.BlockHeader
	last           map[uint64]uint64 // seq by ordinal; what came later is in the journal's or a head's copy
}

func (s *Store) viewsLocked() (all []view) {
	last := map[uint64]uint64{}
	for _, e := range s.order {
		last[e.ordinal] = e.inVolumes()
	}
	for _, v := range s.volumes {
		all = append(all, view{v, v.oldest, v.newest, last})
	}
	return all
}

// readVolume takes in one volume, if it may hold something of the time asked
// for.
func (s *Store) readVolume(ctx context.Context, v view, h *historian) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !h.wants(v.oldest, v.newest) {
		return nil
	}
	var records []record
	err := s.shelf.read(v.volume, func(b *bbolt.Bucket) error {
		c := b.Cursor()
		for k, value := c.First(); k != nil; k, value = c.Next() {
			r, err := parseRecord(k, value)
			if err != nil || r.First > v.last[r.ordinal] || !h.wants(r.BlockHeader, r.BlockHeader) {
				continue // the uplink finds damage, and has it salvaged
			}
			r.value = slices.Clone(value)
			records = append(records, r)
		}
		return nil
	})
	if err != nil {
		if isDamage(err) {
			return nil
		}
		return err
	}
	for i := range records {
		if r := &records[i]; r.gap != "" {
			h.hole(r.BlockHeader, r.gap)
		} else {
			h.block(r.BlockHeader, r.value)
		}
	}
	return ctx.Err()
}

// waitingRun is a copy of what a head holds.
type waitingRun struct {
	readings []gateway.Reading
	anchor   gateway.Anchor
}

func (s *Store) headsLocked() (heads []waitingRun) {
	for _, e := range s.order {
		if e.head != nil && e.head.len() > 0 {
			heads = append(heads, waitingRun{e.head.copy(nil, e.head.first, e.head.len()), e.Anchor})
		}
	}
	return heads
}

// openEndsLocked notes what is known to be lost at the ends of epochs.
func (s *Store) openEndsLocked(h *historian) {
	for _, e := range s.order {
		if e.Growth == gateway.OpenEnded && e.EndAt > e.LastAt {
			header := gateway.BlockHeader{T0: e.LastAt, T1: e.EndAt, Anchor: e.Anchor}
			if header.N = e.atMost(); header.N > 0 {
				h.hole(header, e.ending().Why)
			}
		}
	}
}

// A historian gathers buckets.
type historian struct {
	query   gateway.HistoryQuery
	from    int64 // µs since 1970
	width   int64 // µs
	anchors gateway.Timelines
	index   map[[2]string]int
	buckets [][]bucket
	units   []string
	holes   []gateway.Hole
	dec     *block.Decoder
}

// bucket is a gateway.Bucket in the making; times are µs since 1970.
type bucket struct {
	n, finite    uint64
	min, max     float64
	minAt, maxAt int64
	sum          float64
	worst        gateway.Quality
	thinned      bool
}

func newHistorian(q gateway.HistoryQuery) *historian {
	h := &historian{
		query: q, from: q.From.UnixMicro(), width: q.To.UnixMicro() - q.From.UnixMicro(),
		index: map[[2]string]int{}, dec: block.NewDecoder(),
		buckets: make([][]bucket, len(q.Channels)), units: make([]string, len(q.Channels)),
	}
	for i, c := range q.Channels {
		h.index[[2]string{c.Device, c.Quantity}] = i
		h.buckets[i] = make([]bucket, q.Buckets)
	}
	return h
}

// wants tells whether something between two blocks can lie in the time asked
// for. Across boots the order of time is not relied on.
func (h *historian) wants(first, last gateway.BlockHeader) bool {
	if first.Anchor.Boot != last.Anchor.Boot {
		return true
	}
	h.anchors.Learn(last.Anchor)
	w0, w1, _ := h.anchors.Clock(first.Anchor).Bounds(min(first.T0, last.T0), max(first.T1, last.T1))
	return w1.UnixMicro() >= h.from && w0.UnixMicro() < h.from+h.width
}

func (h *historian) hole(r gateway.BlockHeader, why gateway.Why) {
	clock := h.anchors.Clock(r.Anchor)
	from, to := clock.Micros(r.T0), clock.Micros(r.T1)
	if to >= h.from && from < h.from+h.width {
		h.holes = append(h.holes, gateway.Hole{From: time.UnixMicro(from).UTC(), To: time.UnixMicro(to).UTC(), Why: why, AtMost: r.N})
	}
}

// block takes in a block; one that makes no sense is left out.
func (h *historian) block(header gateway.BlockHeader, b []byte) {
	if !h.wants(header, header) {
		return
	}
	clock := h.anchors.Clock(header.Anchor)
	if header.Thinned {
		h.summaries(b, clock)
		return
	}
	wanted := func(device, quantity string) bool {
		_, wanted := h.index[[2]string{device, quantity}]
		return wanted
	}
	_, _ = h.dec.Columns(b, wanted, func(c *block.Column) {
		i := h.index[[2]string{c.Channel.Device, c.Channel.Quantity}]
		h.units[i] = c.Channel.Unit
		c.Qualities(func(q gateway.Quality, from, to int) {
			for k := from; k < to; k++ {
				h.add(i, clock.Micros(c.At[k]), c.Values[k], q)
			}
		})
	})
}

// summaries takes in downsampled readings; each envelope stands in the middle of
// its interval.
func (h *historian) summaries(b []byte, clock *gateway.WallClock) {
	_, sums, _ := h.dec.Summaries(b)
	for i := range sums {
		sum := &sums[i]
		channel, wanted := h.index[[2]string{sum.Channel.Device, sum.Channel.Quantity}]
		if !wanted {
			continue
		}
		h.units[channel] = sum.Channel.Unit
		middle := clock.Micros(sum.From.Add(sum.Interval / 2))
		if b := h.bucketOf(channel, middle); b != nil {
			b.addSummary(sum, middle)
		}
	}
}

func (b *bucket) addSummary(sum *gateway.Summary, at int64) {
	b.thinned = true
	b.n += sum.N
	b.worst = max(b.worst, sum.Worst)
	finite := sum.N - sum.NaN
	if finite == 0 {
		return
	}
	b.reach(sum.Min, sum.Max, at)
	b.finite += finite
	b.sum += sum.Mean * float64(finite)
}

// readings takes in what is in a head.
func (h *historian) readings(rs []gateway.Reading, anchor gateway.Anchor) {
	clock := h.anchors.Clock(anchor)
	for k := range rs {
		r := &rs[k]
		if i, wanted := h.index[[2]string{r.Channel.Device, r.Channel.Quantity}]; wanted {
			h.units[i] = r.Channel.Unit
			h.add(i, clock.Micros(r.At), r.Value, r.Quality)
		}
	}
}

func (h *historian) add(channel int, at int64, value float64, q gateway.Quality) {
	b := h.bucketOf(channel, at)
	if b == nil {
		return
	}
	b.n++
	b.worst = max(b.worst, q)
	if math.IsNaN(value) {
		return
	}
	b.reach(value, value, at)
	b.finite++
	b.sum += value
}

// reach widens the envelope; the caller counts.
func (b *bucket) reach(low, high float64, at int64) {
	if b.finite == 0 || low < b.min {
		b.min, b.minAt = low, at
	}
	if b.finite == 0 || high > b.max {
		b.max, b.maxAt = high, at
	}
}

// bucketOf gives the bucket of a time, nil if it was not asked for.
func (h *historian) bucketOf(channel int, at int64) *bucket {
	since := at - h.from
	if since < 0 || since >= h.width {
		return nil
	}
	return &h.buckets[channel][h.bucketAt(since)]
}

// bucketAt gives the bucket of a time since from: floor(since·n/span).
func (h *historian) bucketAt(since int64) int {
	high, low := bits.Mul64(uint64(since), uint64(h.query.Buckets)) // years times buckets have no room in 64 bits
	k, _ := bits.Div64(high, low, uint64(h.width))
	return int(k)
}

func (h *historian) answer() gateway.History {
	var all gateway.History
	for i, c := range h.query.Channels {
		c.Unit = h.units[i]
		series := gateway.Series{Channel: c}
		for k := range h.buckets[i] {
			if b := &h.buckets[i][k]; b.n > 0 {
				series.Buckets = append(series.Buckets, b.told(h.start(k)))
			}
		}
		all.Series = append(all.Series, series)
	}
	slices.SortFunc(h.holes, func(a, b gateway.Hole) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	all.Holes = h.holes
	return all
}

// start is where a bucket begins: the first whole µs that bucketAt puts into
// it.
func (h *historian) start(k int) time.Time {
	n := int64(h.query.Buckets)
	whole, rest := h.width/n, h.width%n
	us := int64(k)*whole + (int64(k)*rest+n-1)/n
	below := time.Duration(h.query.From.Nanosecond() % 1000)                  // of the query's beginning, below µs
	return time.UnixMicro(h.from + us).Add(below).In(h.query.From.Location()) // in no Duration: that ends after 292 years
}

func (b *bucket) told(from time.Time) gateway.Bucket {
	t := gateway.Bucket{From: from, N: b.n, Min: math.NaN(), Max: math.NaN(), Mean: math.NaN(), Worst: b.worst, Thinned: b.thinned}
	if b.finite > 0 {
		t.Min, t.Max, t.Mean = b.min, b.max, b.sum/float64(b.finite)
		t.MinAt, t.MaxAt = time.UnixMicro(b.minAt).UTC(), time.UnixMicro(b.maxAt).UTC()
	}
	return t
}
