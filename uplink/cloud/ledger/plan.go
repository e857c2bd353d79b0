package ledger

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A Question is what a reader of lines wants.
type Question struct {
	Span       TimeRange
	Epoch      *gateway.EpochID // only this one
	From, To   uint64           // seqs of readings; to 0: no bound
	Devices    map[string]bool  // only these; empty: all
	Quantities map[string]bool
	Readings   bool // and what stands in their place
	Events     bool
}

// Parse reads the question from a query. Events come among readings only if
// nothing is asked for that they do not have.
func (q *Question) Parse(v url.Values, now time.Time) (err error) {
	if q.Span, err = ParseRange(v, now); err != nil {
		if _, e := strconv.ParseUint(v.Get("from"), 10, 64); e == nil {
			err = fmt.Errorf("%w; for a seq use from_seq", err)
		}
		return err
	}
	if q.Epoch, err = ParseEpoch(v); err != nil {
		return err
	}
	for name, seq := range map[string]*uint64{"from_seq": &q.From, "to_seq": &q.To} {
		if text := v.Get(name); text != "" {
			if *seq, err = strconv.ParseUint(text, 10, 64); err != nil {
				return fmt.Errorf("%s %.40q is not a seq", name, text)
			}
		}
	}
	if q.To > 0 && q.From > q.To {
		return fmt.Errorf("from_seq %d lies behind to_seq %d", q.From, q.To)
	}
	for _, word := range slices.Concat(v["device"], v["quantity"]) {
		if !gateway.ValidID(word) {
			return fmt.Errorf("%.80q can be no device or quantity: 1 to 64 of A-Z a-z 0-9 _ -", word)
		}
	}
	q.Devices, q.Quantities = setOf(v["device"]), setOf(v["quantity"])
	if q.Readings {
		q.Events = q.Epoch == nil && q.From == 0 && q.To == 0 && len(q.Devices)+len(q.Quantities) == 0
	}
	return nil
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

// A Stretch is a run of sequences of the log, both ends included.
type Stretch struct{ first, last uint64 }

// Plan gives where in the log the answer lies, oldest first. Each stretch
// begins with a valid record.
func (b *Gateway) Plan(ctx context.Context, q *Question, epochs []EpochTime) ([]Stretch, error) {
	if q.Readings && q.Epoch == nil && !q.Span.Bounded() {
		return []Stretch{{0, b.checkpoint.Seq}}, nil
	}
	var list []Stretch
	for i := range epochs {
		e := &epochs[i]
		if !q.Readings || e.From == 0 || q.Epoch != nil && e.Epoch != *q.Epoch || e.Line != b.checkpoint.Line {
			continue
		}
		more, err := b.stretches(ctx, q, e)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if q.Events {
		places, err := b.eventPlaces(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if !p.Known || q.Span.Holds(p.At) {
				list = append(list, Stretch{p.Seq, p.Seq})
			}
		}
	}
	return union(list), nil
}

// stretches gives where the records of one epoch lie that may be of this time.
func (b *Gateway) stretches(ctx context.Context, q *Question, e *EpochTime) ([]Stretch, error) {
	whole := Stretch{e.From, e.Seq}
	// Without a range, or without times to compare it with, the index helps nothing.
	if !q.Span.Bounded() || !e.known || e.mistimed() {
		if e.known || q.Span.Meets(e.First, e.Last) {
			return []Stretch{whole}, nil
		}
		return nil, nil
	}
	var ix index
	if _, err := b.read(ctx, b.indexKey(e.Epoch), &ix); err != nil {
		return nil, err
	}
	// The index is behind what is at hand: full segments that are not saved yet, and
	// the newest one, which is not full. One of another line knows other sequences.
	segments := slices.Clone(e.full)
	if e.Tail.N > 0 {
		segments = append(segments, e.Tail)
	}
	if ix.Line == e.indexLine() {
		segments = append(ix.Segments, segments...)
	}
	var list []Stretch
	for _, s := range segments {
		// Of a segment whose times are not known, any may be of the range.
		if s.T0 > -unknownBound && s.First > e.Rebased {
			t0, t1, _ := e.clock.Bounds(s.T0, s.T1)
			if !q.Span.Meets(t0, t1) {
				continue
			}
		}
		list = append(list, Stretch{s.First, s.Last})
	}
	return list, nil
}

// union sorts stretches and joins those that touch.
func union(list []Stretch) []Stretch {
	slices.SortFunc(list, func(x, y Stretch) int { return cmp.Compare(x.first, y.first) })
	var out []Stretch
	for _, s := range list {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// maxEventPlaces is how many places of events a checkpoint holds; older ones lie in
// documents of so many each.
const maxEventPlaces = 64

// An eventPlace is where in the log an event lies, and when it happened.
type eventPlace struct {
	Seq   uint64    `json:"s"`
	At    time.Time `json:"t"`
	Known bool      `json:"k"` // the clock had been set
}

// eventPlaces gives those of all events that the log can still have.
func (b *Gateway) eventPlaces(ctx context.Context) ([]eventPlace, error) {
	var all []eventPlace
	for n := range b.checkpoint.EventDocs {
		var some []eventPlace
		if _, err := b.read(ctx, b.eventsKey(n), &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return append(all, b.checkpoint.Events...), nil
}

// Records gives the valid records of these stretches.
func (b *Gateway) Records(ctx context.Context, stretches []Stretch) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, s := range stretches {
			if !b.stretch(ctx, s, yield) {
				return
			}
		}
	}
}

// stretch gives the valid records of one stretch, without a look at what comes
// behind it. It tells whether yield wants more.
func (b *Gateway) stretch(ctx context.Context, s Stretch, yield func(record.Record, error) bool) bool {
	for r, err := range record.Valid(b.log.Read(ctx, b.ID, s.first)) {
		if err == nil && r.Seq > s.last {
			break
		}
		if !yield(r, err) {
			return false
		}
		if r.Seq == s.last {
			break
		}
	}
	return true
}

const (
	lastRecords = 256 // of the newest records of a gateway, at least as many are looked at for last values
	lastEpochs  = 8
)

// Newest gives the newest valid records of the gateway, those of its last epochs,
// the oldest first.
func (b *Gateway) Newest(ctx context.Context) (iter.Seq2[record.Record, error], error) {
	from, err := b.recent(ctx)
	if err != nil {
		return nil, err
	}
	return b.Records(ctx, []Stretch{{from, b.checkpoint.Seq}}), nil
}

// recent gives where in the log the newest records of a gateway begin: that of
// a valid one.
func (b *Gateway) recent(ctx context.Context) (uint64, error) {
	var accounts []*account
	for _, a := range b.sorted() {
		if a.From > 0 && a.Line == b.checkpoint.Line {
			accounts = append(accounts, a)
		}
	}
	slices.SortFunc(accounts, func(x, y *account) int { return cmp.Compare(y.Seq, x.Seq) })
	from, n := b.checkpoint.Seq, uint64(0)
	for i, a := range accounts {
		if n >= lastRecords || i == lastEpochs {
			break
		}
		first, some, err := b.tail(ctx, a)
		if err != nil {
			return 0, err
		}
		from, n = min(from, first), n+some
	}
	return from, nil
}

// tail gives where the newest records of an epoch begin, and how many they are.
func (b *Gateway) tail(ctx context.Context, a *account) (first, n uint64, err error) {
	if a.Records <= lastRecords {
		return a.From, a.Records, nil
	}
	full := a.full
	if len(full) == 0 {
		var ix index
		if _, err := b.read(ctx, b.indexKey(a.Epoch), &ix); err != nil {
			return 0, 0, err
		}
		if ix.Line == a.indexLine() {
			full = ix.Segments
		}
	}
	if len(full) == 0 {
		return a.From, a.Records, nil
	}
	s := full[len(full)-1]
	return s.First, s.N + a.Tail.N, nil
}
