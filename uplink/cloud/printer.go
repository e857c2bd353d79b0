package cloud

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A printer writes the records of one gateway as lines, as far as they answer
// the question. Wall times are those that are known now.
type printer struct {
	*ledger.Question
	book   *ledger.Gateway
	epochs map[gateway.EpochID]*ledger.EpochTime
	out    lineWriter
	blocks *block.Decoder

	line  readingLine   // reused
	clock *ledger.Clock // of the boot that is printed
	boot  gateway.BootID
}

// print writes one record.
func (p *printer) print(ctx context.Context, r record.Record) error {
	event := r.Kind == record.KindEvent
	if r.Kind == record.KindOpen || event && !p.Events || !event && !p.Readings || p.Epoch != nil && *p.Epoch != r.Epoch {
		return nil
	}
	m, err := wire.Decode(r.Body)
	if err != nil {
		return fmt.Errorf("record %d cannot be read: %w", r.Seq, err)
	}
	switch m := m.(type) {
	case *wire.Event:
		err = p.event(ctx, m)
	case *wire.Update:
		err = p.update(ctx, r, m)
	default:
		err = fmt.Errorf("holds a %T", m)
	}
	if err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	return nil
}

func (p *printer) update(ctx context.Context, r record.Record, u *wire.Update) error {
	from, last := max(r.First, p.From), r.First+r.N-1
	for _, b := range u.Blocks {
		if err := p.block(ctx, b, from); err != nil {
			return err
		}
	}
	if u.Thinned != nil && p.wants(from, last) {
		if err := p.thinned(ctx, u.Thinned, from); err != nil {
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
func (p *printer) wants(from, last uint64) bool {
	return last >= from && (p.To == 0 || from <= p.To)
}

// clockOf gives the clock of a boot, with what came with the data if nothing
// else is known of it.
func (p *printer) clockOf(ctx context.Context, a wire.Anchor) (*ledger.Clock, error) {
	if a.Boot == (gateway.BootID{}) { // rows, which say their wall time
		return &ledger.Clock{Timeline: gateway.Timeline{record.AnchorOf(a)}}, nil
	}
	if p.clock != nil && p.boot == a.Boot {
		return p.clock, nil
	}
	c, err := p.book.Clock(ctx, a.Boot)
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
func (p *printer) possible(c *ledger.Clock, e gateway.EpochID, s0, s1 int64) bool {
	if !p.Span.Bounded() {
		return true
	}
	t0, t1, q := c.Bounds(s0, s1)
	if et := p.epochs[e]; q == gateway.ClockNone && et != nil {
		t0, t1 = et.First, et.Last // no better known than the epochs beside it
	}
	return p.Span.Meets(t0, t1)
}

func (p *printer) block(ctx context.Context, b []byte, from uint64) error {
	h, err := block.Parse(b)
	if err != nil || !p.wants(max(from, h.First), h.Last()) {
		return err
	}
	c, err := p.clockOf(ctx, record.WireAnchor(h.Anchor))
	if err != nil || !p.possible(c, h.Epoch, int64(h.T0), int64(h.T1)) {
		return err
	}
	h, rs, err := p.blocks.Decode(b)
	if err != nil {
		return err
	}
	l := &p.line
	l.epoch = h.Epoch
	var a gateway.Anchor
	since, until := gateway.Stamp(1), gateway.Stamp(0) // no stamp lies in between
	for i := range rs {
		r := &rs[i]
		l.seq = h.First + uint64(i)
		if l.seq < from || p.To != 0 && l.seq > p.To || !p.chosen(r.Channel) {
			continue
		}
		if r.At < since || r.At >= until {
			a, until = c.At(r.At)
			since = r.At
		}
		l.wall, l.time = a.Micros(r.At), a.Quality.String()
		if a.Quality > gateway.ClockNone && p.Span.Bounded() && !p.Span.Holds(time.UnixMicro(l.wall)) {
			continue
		}
		l.channel, l.value, l.quality = r.Channel, r.Value, r.Quality.String()
		if err := p.out.reading(l); err != nil {
			return err
		}
	}
	return nil
}

// chosen tells whether a channel is one of those asked for.
func (p *printer) chosen(ch *gateway.Channel) bool {
	return (len(p.Devices) == 0 || p.Devices[ch.Device]) && (len(p.Quantities) == 0 || p.Quantities[ch.Quantity])
}
