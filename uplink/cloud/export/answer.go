package export

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// An Answer writes the records of one gateway as lines, as far as they answer
// the question. Wall times are those that are known now.
type Answer struct {
	*ledger.Question
	ledger *ledger.Gateway
	epochs map[gateway.EpochID]*ledger.EpochTime
	out    lines.Writer
	blocks *block.Decoder

	stretches []ledger.Stretch // of the log, in which the answer lies
	line      lines.Reading    // reused
	clock     *ledger.Clock    // of the boot that is printed
	boot      gateway.BootID
}

// Open finds out where in the log the answer to a question about a gateway
// lies, as of now. It decodes with blocks, which is the caller's.
func Open(ctx context.Context, log record.Log, kv record.KV, gatewayID string, q *ledger.Question, blocks *block.Decoder) (*Answer, error) {
	p := &Answer{Question: q, blocks: blocks, epochs: map[gateway.EpochID]*ledger.EpochTime{}}
	var err error
	if p.ledger, err = ledger.Open(ctx, log, kv, gatewayID); err != nil {
		return nil, err
	}
	epochs, err := p.ledger.Times(ctx)
	if err != nil {
		return nil, err
	}
	for i := range epochs {
		p.epochs[epochs[i].Epoch] = &epochs[i]
	}
	if p.Readings && p.Epoch != nil && p.epochs[*p.Epoch] == nil {
		return nil, ledger.ErrUnknownEpoch
	}
	p.stretches, err = p.ledger.Plan(ctx, q, epochs)
	return p, err
}

// WriteLines writes the answer as lines. The caller flushes out.
func (p *Answer) WriteLines(ctx context.Context, out lines.Writer) error {
	p.out = out
	for r, err := range p.ledger.Records(ctx, p.stretches) {
		if err == nil {
			err = p.print(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// print writes one record.
func (p *Answer) print(ctx context.Context, r record.Record) error {
	event := r.Kind == record.KindEvent
	if r.Kind == record.KindOpen || event && !p.Events || !event && !p.Readings || p.Epoch != nil && *p.Epoch != r.Epoch {
		return nil
	}
	held, err := r.Content()
	switch {
	case err != nil:
	case held.Event != nil:
		err = p.event(ctx, held.Event)
	default:
		err = p.update(ctx, r, held)
	}
	if err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	return nil
}

func (p *Answer) update(ctx context.Context, r record.Record, held record.Content) error {
	u, from, last := held.Update, max(r.First, p.From), r.First+r.N-1
	// An update may hold seqs that an earlier record has: those below r.First are not written again.
	for b, err := range held.Blocks() {
		if err == nil && p.wants(max(b.From, p.From), b.Last()) {
			err = p.block(ctx, &b)
		}
		if err != nil {
			return err
		}
	}
	if u.Thinned != nil && p.wants(from, last) {
		if err := p.thinned(ctx, held, from); err != nil {
			return err
		}
	}
	if g := u.Gap; g != nil && p.wants(from, last) {
		if err := p.gap(ctx, u, from, last); err != nil {
			return err
		}
	}
	if u.End == nil {
		return nil
	}
	return p.end(ctx, u, last)
}

// wants tells whether any of these seqs is asked for.
func (p *Answer) wants(from, last uint64) bool {
	return last >= from && (p.To == 0 || from <= p.To)
}

// clockOf gives the clock of a boot, with what came with the data if nothing
// else is known of it.
func (p *Answer) clockOf(ctx context.Context, a wire.Anchor) (*ledger.Clock, error) {
	if a.Boot == (gateway.BootID{}) { // rows, which say their wall time
		return &ledger.Clock{Timeline: gateway.Timeline{record.AnchorOf(a)}}, nil
	}
	if p.clock != nil && p.boot == a.Boot {
		return p.clock, nil
	}
	c, err := p.ledger.Clock(ctx, a.Boot)
	if err != nil {
		return nil, err
	}
	if len(c.Timeline) == 0 {
		c.Add(a)
	}
	p.clock, p.boot = c, a.Boot
	return c, nil
}

// possible tells whether something that lies between these stamps can be of
// the time that is asked for.
func (p *Answer) possible(c *ledger.Clock, e gateway.EpochID, s0, s1 int64) bool {
	if !p.Span.Bounded() {
		return true
	}
	t0, t1, q := c.Bounds(s0, s1)
	if et := p.epochs[e]; q == gateway.ClockNone && et != nil {
		t0, t1 = et.First, et.Last // no better known than the epochs beside it
	}
	return p.Span.Meets(t0, t1)
}

func (p *Answer) block(ctx context.Context, b *record.Block) error {
	c, err := p.clockOf(ctx, record.WireAnchor(b.Anchor))
	if err != nil || !p.possible(c, b.Epoch, int64(b.T0), int64(b.T1)) {
		return err
	}
	// Only now the columns: most blocks that are not of the range end above.
	rs, err := b.Readings(p.blocks)
	if err != nil {
		return err
	}
	l := &p.line
	l.Epoch = b.Epoch
	clock := gateway.NewWallClock(c.Timeline)
	for i := range rs {
		r := &rs[i]
		l.Seq = b.From + uint64(i)
		if l.Seq < p.From || p.To != 0 && l.Seq > p.To || !p.chosen(r.Channel) {
			continue
		}
		l.Of(r, clock.Decides(r.At))
		// A reading whose time is not known is of any time, and is written.
		if l.Time > gateway.ClockNone && p.Span.Bounded() && !p.Span.Holds(time.UnixMicro(l.Wall)) {
			continue
		}
		if err := p.out.Reading(l); err != nil {
			return err
		}
	}
	return nil
}

// chosen tells whether a channel is one of those asked for.
func (p *Answer) chosen(ch *gateway.Channel) bool {
	return (len(p.Devices) == 0 || p.Devices[ch.Device]) && (len(p.Quantities) == 0 || p.Quantities[ch.Quantity])
}

// thinned prints the summaries of a block; the log holds what lies before from
// as it was.
func (p *Answer) thinned(ctx context.Context, held record.Content, from uint64) error {
	h, sums, err := held.Summaries(p.blocks)
	if err != nil {
		return err
	}
	c, err := p.clockOf(ctx, record.WireAnchor(h.Anchor))
	if err != nil || !p.possible(c, h.Epoch, int64(h.T0), int64(h.T1)) {
		return err
	}
	for i := range sums {
		sum := &sums[i]
		if !p.chosen(sum.Channel) || !p.possible(c, h.Epoch, int64(sum.From), int64(sum.From.Add(sum.Interval))) {
			continue
		}
		err := p.out.Other(lines.NewThinned(p.ledger.ID, h.Range, from, sum, c.Timeline))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Answer) gap(ctx context.Context, u *wire.Update, first, last uint64) error {
	g := u.Gap
	c, err := p.clockOf(ctx, g.Anchor)
	if err != nil || !p.possible(c, u.Epoch, g.T0, g.T1) {
		return err
	}
	if p.To != 0 {
		last = min(last, p.To)
	}
	return p.out.Other(lines.NewGap(p.ledger.ID, gateway.Range{Epoch: u.Epoch, First: first, N: last - first + 1},
		gateway.Gap{Why: g.Why, T0: gateway.Stamp(g.T0), T1: gateway.Stamp(g.T1)}, c.Timeline))
}

func (p *Answer) end(ctx context.Context, u *wire.Update, last uint64) error {
	if p.To != 0 && last > p.To {
		return nil
	}
	if u.End.Closed != nil {
		e := p.epochs[u.Epoch]
		if e != nil && !p.Span.Meets(e.Last, e.Last) {
			return nil
		}
		return p.out.Other(lines.NewClosed(p.ledger.ID, u.Epoch, *u.End.Closed))
	}
	end := gateway.End{Why: u.End.Why, AtMost: u.End.AtMost, T0: gateway.Stamp(u.End.T0), T1: gateway.Stamp(u.End.T1)}
	var clock gateway.Timeline
	if a := u.End.Anchor; a != nil {
		c, err := p.clockOf(ctx, *a)
		if err != nil || !p.possibleEnd(c, u) {
			return err
		}
		clock = c.Timeline
	}
	return p.out.Other(lines.NewOpenEnd(p.ledger.ID, u.Epoch, last, end, clock))
}

// possibleEnd tells whether what an open end says is missing can be of the
// time that is asked for. Until when it reaches may not be known.
func (p *Answer) possibleEnd(c *ledger.Clock, u *wire.Update) bool {
	e := p.epochs[u.Epoch]
	if u.End.T1 >= u.End.T0 || e == nil {
		return p.possible(c, u.Epoch, u.End.T0, max(u.End.T0, u.End.T1))
	}
	t0, t1, q := e.Between(*u.End.Anchor, u.End.T0, u.End.T1)
	if q == gateway.ClockNone {
		t0, t1 = e.First, e.Last
	}
	return p.Span.Meets(t0, t1)
}

func (p *Answer) event(ctx context.Context, e *wire.Event) error {
	if len(p.Devices) > 0 && !p.Devices[e.Device] {
		return nil
	}
	c, err := p.clockOf(ctx, e.Anchor)
	if err != nil {
		return err
	}
	t, q := c.Wall(e.At)
	if q > gateway.ClockNone && !p.Span.Holds(t.Truncate(time.Microsecond)) {
		return nil
	}
	return p.out.Other(lines.Event{
		Type: "event", GatewayID: p.ledger.ID, Kind: e.Kind, DeviceID: e.Device, Timestamp: t.Format(lines.TimeLayout), Time: q.String(),
		N: max(e.N, 1), Body: e.Body, Epoch: e.Epoch, Seq: e.Seq,
	})
}
