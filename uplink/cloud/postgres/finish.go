package postgres

import (
	"context"
	"fmt"
	"time"
)

// arrivals are rows of the table of this name, in columns.
type arrivals struct {
	epoch    []int32
	first, n []int64
	at       []time.Time
	lane     []int16
}

func (a *arrivals) add(o *origin, first, last uint64) {
	a.epoch = append(a.epoch, o.epoch.id)
	a.first, a.n = append(a.first, int64(first)), append(a.n, int64(last-first+1))
	a.at, a.lane = append(a.at, o.At), append(a.lane, int16(o.Lane))
}

// finish writes what is written once in a transaction. After it comes the
// commit.
func (w *writer) finish(ctx context.Context) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	if a := &w.arrivals; len(a.epoch) > 0 {
		w.late.Queue(`insert into arrivals (epoch, first, n, received_at, lane)
			select * from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::smallint[]) on conflict do nothing`,
			a.epoch, a.first, a.n, a.at, a.lane)
	}
	w.queueEpochs()
	w.queueBoots()
	w.queueChains()
	if w.late.Len() == 0 {
		return nil
	}
	if err := w.tx.SendBatch(ctx, &w.late).Close(); err != nil {
		return fmt.Errorf("write what goes with the readings: %w", err)
	}
	return nil
}

// queueEpochs writes the epochs that changed.
func (w *writer) queueEpochs() {
	for _, e := range w.changed {
		w.late.Queue(`update epochs set upto = $2, ended = nullif($3, ''), boot = nullif($4, 0),
				unsure_first = least(unsure_first, nullif($5::bigint, 0)), unsure_last = greatest(unsure_last, nullif($6::bigint, 0))
			where id = $1`, e.id, int64(e.upto), e.ended, e.boot, e.unsureFirst, e.unsureLast)
		if e.reopened || e.ended == "" || e.ended == endClosed {
			w.late.Queue(`update epochs set at_most = null, t0_us = null, t1_us = null, anchor = null where id = $1 and at_most is not null`, e.id)
		}
		if e.end != nil {
			w.late.Queue(`update epochs set at_most = $2, t0_us = $3, t1_us = $4, anchor = $5 where id = $1`,
				e.id, int64(e.end.AtMost), micros(e.end.T0), micros(e.end.T1), e.endAnchor)
		}
		e.changed, e.reopened, e.end, e.endAnchor, e.unsureFirst, e.unsureLast = false, false, nil, nil, 0, 0
	}
}

// queueBoots tells the corrector where to look: at the boots that have
// readings whose time is not decided for good, when an anchor comes that lies
// before one of these or is the first behind all of them; and at all readings
// of a boot when an anchor comes late, from before the newest of them.
func (w *writer) queueBoots() {
	for boot, upto := range w.boots {
		w.late.Queue(`update boots set unsure_upto = greatest(unsure_upto, $2) where id = $1`, boot, upto)
	}
	for _, a := range w.better {
		if a.late {
			w.late.Queue(`update epochs set unsure_first = 1, unsure_last = greatest(upto, 1) where boot = $1`, a.boot)
			w.late.Queue(`update boots set better = greatest(better, $2) where id = $1`, a.boot, a.id)
			continue
		}
		w.late.Queue(`update boots set better = greatest(better, $3)
			where id = $1 and unsure_upto is not null
				and ($2 <= unsure_upto or not exists (select from anchors
					where boot = $1 and quality >= 2 and id < $3 and from_us > unsure_upto and from_us <= $2))`,
			a.boot, a.from, a.id)
	}
}

// queueChains writes how far each gateway's chain has come.
func (w *writer) queueChains() {
	var ids []int32
	var records []string
	var seqs []int64
	for g := range w.moved {
		ids, records, seqs = append(ids, g.id), append(records, g.last.ID), append(seqs, int64(g.last.Seq))
	}
	if len(ids) > 0 {
		w.late.Queue(`update gateways g set record = n.record, record_seq = n.seq
			from unnest($1::integer[], $2::text[], $3::bigint[]) as n (id, record, seq) where g.id = n.id`, ids, records, seqs)
	}
}
