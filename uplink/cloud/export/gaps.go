package export

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

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
		t, q := c.Wall(int64(sum.From))
		err := p.out.other(thinnedLine{
			Type: "thinned", GatewayID: p.ledger.ID, DeviceID: sum.Channel.Device, Quantity: sum.Channel.Quantity, Unit: sum.Channel.Unit,
			Timestamp: t.Format(ledger.TimeLayout), IntervalS: sum.Interval.Seconds(), Count: sum.N,
			Min: number(sum.Min), Max: number(sum.Max), Mean: number(sum.Mean), Quality: sum.Worst.String(), Time: q.String(),
			Epoch: h.Epoch, First: h.First, N: h.N, From: from,
		})
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
	t0, q := c.Wall(g.T0)
	t1, _ := c.Wall(g.T1)
	return p.out.other(gapLine{
		Type: "gap", GatewayID: p.ledger.ID, Epoch: u.Epoch, First: first, N: last - first + 1,
		Why: g.Why, T0: t0.Format(ledger.TimeLayout), T1: t1.Format(ledger.TimeLayout), Time: q.String(),
	})
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
		return p.out.other(closedLine{"end", p.ledger.ID, u.Epoch, *u.End.Closed})
	}
	line := openEndLine{Type: "end", GatewayID: p.ledger.ID, Epoch: u.Epoch, Why: u.End.Why, After: last, AtMost: u.End.AtMost}
	if a := u.End.Anchor; a != nil {
		c, err := p.clockOf(ctx, *a)
		if err != nil || !p.possibleEnd(c, u) {
			return err
		}
		t0, q := c.Wall(u.End.T0)
		line.T0, line.Time = t0.Format(ledger.TimeLayout), q.String()
		if u.End.T1 >= u.End.T0 {
			t1, _ := c.Wall(u.End.T1)
			line.T1 = t1.Format(ledger.TimeLayout)
		}
	}
	return p.out.other(line)
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
	return p.out.other(eventLine{
		Type: "event", GatewayID: p.ledger.ID, Kind: e.Kind, DeviceID: e.Device, Timestamp: t.Format(ledger.TimeLayout), Time: q.String(),
		N: max(e.N, 1), Body: e.Body, Epoch: e.Epoch, Seq: e.Seq,
	})
}
