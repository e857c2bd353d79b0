package postgres

import (
	"context"
	"encoding/json"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// gap takes a gap, of its names those that are not accounted for.
func (w *writer) gap(ctx context.Context, o *origin, g *wire.Gap) error {
	anchor, err := w.wireAnchor(ctx, o, &g.Anchor)
	last := o.First + o.N - 1
	if err != nil || o.N == 0 || last <= o.epoch.upto {
		return err
	}
	first := max(o.First, o.epoch.upto+1)
	w.took.Gaps++
	w.late.Queue(`insert into gaps (epoch, first, n, why, t0_us, t1_us, anchor, received_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
		o.epoch.id, int64(first), int64(last-first+1), text(string(g.Why)), micros(g.T0), micros(g.T1), anchor, o.At)
	return nil
}

// thinned takes what is left of thinned readings.
func (w *writer) thinned(ctx context.Context, o *origin, held record.Content) error {
	h, sums, err := held.Summaries(w.blocks)
	if err != nil {
		return err
	}
	anchor, err := w.anchor(ctx, o, h.Anchor)
	if err != nil || h.Last() <= o.epoch.upto {
		return err
	}
	w.took.Thinned++
	w.late.Queue(`insert into thinned (epoch, first, n, lacks, received_at) values ($1, $2, $3, $4, $5) on conflict do nothing`,
		o.epoch.id, int64(h.First), int64(h.N), int64(max(o.First, o.epoch.upto+1)), o.At)
	key := channelKey{gateway: o.gateway.id}
	for i := range sums {
		s := &sums[i]
		key.channel = s.Channel
		channel, err := w.names.channel(ctx, w.tx, key)
		if err != nil {
			return err
		}
		w.late.Queue(`insert into summaries (epoch, first, channel, from_us, interval_us, n, nan, min, max, mean, quality, anchor)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict do nothing`,
			o.epoch.id, int64(h.First), channel, micros(int64(s.From)), s.Interval.Microseconds(), int64(s.N), int64(s.NaN),
			s.Min, s.Max, s.Mean, int16(s.Worst), anchor)
	}
	return nil
}

// end takes the end of an epoch. An orderly one is final; another gives way to
// readings behind it. Of two open ends of the same readings (two boards told
// of them, one of whose cards was a copy) what both say is kept.
func (w *writer) end(ctx context.Context, o *origin, e *wire.End) error {
	w.took.Ends++
	if o.epoch.ended == endClosed || o.First+o.N-1 < o.epoch.upto {
		return nil
	}
	if e.Closed != nil {
		o.epoch.ended, o.epoch.end = endClosed, nil
		return nil
	}
	end := record.OpenEndOf(e)
	end.T0, end.T1 = micros(end.T0), micros(end.T1) // as the table has them
	o.epoch.endAnchor = nil
	if e.Anchor != nil {
		id, err := w.wireAnchor(ctx, o, e.Anchor)
		if err != nil {
			return err
		}
		o.epoch.endAnchor = &id
	}
	earlier := o.epoch.end // of this transaction, else of one before
	if earlier == nil && o.epoch.ended != "" {
		var err error
		if earlier, err = w.names.openEnd(ctx, w.tx, o.epoch); err != nil {
			return err
		}
	}
	if earlier != nil {
		end = end.Join(*earlier)
	}
	o.epoch.ended, o.epoch.end = text(string(e.Why)), &end
	return nil
}

// event takes one event.
func (w *writer) event(ctx context.Context, o *origin, ev *wire.Event) error {
	anchor, err := w.wireAnchor(ctx, o, &ev.Anchor)
	if err != nil {
		return err
	}
	w.took.Events++
	w.late.Queue(`insert into events (epoch, seq, kind, at_us, anchor, device, body, n, volatile, received_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing`,
		o.epoch.id, int64(ev.Seq), text(string(ev.Kind)), micros(ev.At), anchor, text(ev.Device), body(ev.Body),
		int64(max(ev.N, 1)), ev.Volatile, o.At)
	return nil
}

// body gives an event's body as PostgreSQL takes it; nil if there is none.
func body(b json.RawMessage) *string {
	if len(b) == 0 {
		return nil
	}
	s := text(string(b))
	if !json.Valid([]byte(s)) {
		quoted, _ := json.Marshal(s) // a string always can be
		s = string(quoted)
	}
	return &s
}
