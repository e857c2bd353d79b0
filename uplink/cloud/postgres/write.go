package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxRows is how many readings go to the database at once.
const maxRows = 100_000

// endClosed is how an epoch ended that ended orderly.
const endClosed = "closed"

// giveWay takes the names $3 to $4 out of gaps: what of a gap lies behind them
// becomes one of its own, what lies before is left.
var giveWay = [...]string{
	`insert into gaps (epoch, first, n, why, received_at) select epoch, $4::bigint + 1, first + n - 1 - $4, why, received_at from gaps
		where epoch = $1 and why = $2 and first <= $4 and first + n - 1 > $4 and first < $3 on conflict do nothing`,
	`update gaps set first = $4::bigint + 1, n = first + n - 1 - $4 where epoch = $1 and why = $2 and first between $3 and $4 and first + n - 1 > $4`,
	`delete from gaps where epoch = $1 and why = $2 and first between $3 and $4`,
	`update gaps set n = $3::bigint - first where epoch = $1 and why = $2 and first < $3 and first + n - 1 >= $3 and $4::bigint >= $3`,
}

// whyNotInLog is why readings are missing that these tables never got.
const whyNotInLog = "not_in_log"

// staging takes readings by COPY, which knows no conflicts.
const staging = `create temp table if not exists staging (seq bigint, measured_at timestamptz, value double precision,
	epoch integer, channel integer, anchor integer, quality smallint) on commit delete rows`

const insertReadings = `insert into readings (seq, measured_at, value, epoch, channel, anchor, quality)
	select seq, measured_at, value, epoch, channel, anchor, quality from staging on conflict do nothing`

// insertCorrected also looks for the anchor that decides the time of a reading
// where that is not the one it came with.
const insertCorrected = `insert into readings (seq, measured_at, value, epoch, channel, anchor, quality, corrected_at)
	select s.seq, s.measured_at, s.value, s.epoch, s.channel, s.anchor, s.quality,
		nullif(s.measured_at + (p.offset_us - a.offset_us) * interval '1 microsecond', s.measured_at)
	from staging s join anchors a on a.id = s.anchor
	left join pieces($1) p on ` + decides + `
	on conflict do nothing`

// decides joins a reading's anchor a with the piece p that its time is to be
// taken from. The stamp is what measured_at was made of.
const decides = `p.boot = a.boot
	and (extract(epoch from measured_at) * 1000000)::bigint - a.offset_us >= p.from_us
	and (extract(epoch from measured_at) * 1000000)::bigint - a.offset_us < p.to_us`

// A writer writes records within one transaction.
type writer struct {
	careful bool // see flush
	tx      pgx.Tx
	names   *names
	blocks  *block.Decoder
	copied  *copyBuffer // readings that are not in the database yet
	unsure  bool        // of some of these another anchor decides the time, or may do so later
	again   bool        // some of these were written before
	late    pgx.Batch   // what is done once, before the commit
	newest  uint64      // the log's sequence up to which records were taken before
	took    Figures

	moved    map[*gatewayRow]bool
	changed  []*epochRow
	arrivals arrivals
	boots    map[int32]int64 // newest stamp of such readings
	better   []betterAnchor  // new ones
}

type betterAnchor struct {
	id, boot int32
	from     int64
	late     bool // there are readings from behind it, or anchors that may have decided some before it
}

// add takes one record.
func (w *writer) add(ctx context.Context, r record.Entry) error {
	if r.Seq <= w.newest {
		if err := w.goBack(ctx, r.Seq); err != nil {
			return err
		}
	}
	g, err := w.names.gateway(ctx, w.tx, r.GatewayID)
	if err != nil {
		return err
	}
	if g.void(r.Record) {
		w.took.Void++
		return nil
	}
	if r.Kind != record.KindOpen {
		if err := w.content(ctx, g, r.Record); err != nil {
			return fmt.Errorf("record %d of %s: %w", r.Seq, r.GatewayID, err)
		}
	}
	w.took.Records++
	g.last = r.Place()
	w.moved[g] = true
	return nil
}

// goBack prepares for a log that gives sequence seq again: a batch was
// committed but not passed, or the log was lost and restored. In the second
// case the chains go on from a record before those that were seen last.
func (w *writer) goBack(ctx context.Context, seq uint64) error {
	// Both in the tables and in memory: the chain of a gateway begins anew with the
	// next record, else that one would not follow and count as void.
	_, err := w.tx.Exec(ctx, `update gateways set record = '', record_seq = 0 where record_seq >= $1`, int64(seq))
	if err != nil {
		return fmt.Errorf("go back to record %d: %w", seq, err)
	}
	for _, g := range w.names.gateways {
		if g.last.Seq >= seq {
			g.last = record.Place{}
		}
	}
	w.newest = seq - 1
	return nil
}

func (w *writer) content(ctx context.Context, g *gatewayRow, r record.Record) error {
	held, err := r.Content()
	if err != nil {
		return err
	}
	if ev := held.Event; ev != nil {
		return w.within(ctx, g, ev.Epoch, func(e *epochRow) error { return w.event(ctx, &origin{r, g, e}, ev) })
	}
	return w.within(ctx, g, held.Update.Epoch, func(e *epochRow) error { return w.update(ctx, &origin{r, g, e}, held) })
}

// within calls take with an epoch's row.
func (w *writer) within(ctx context.Context, g *gatewayRow, id gateway.EpochID, take func(*epochRow) error) error {
	e, err := w.names.epoch(ctx, w.tx, epochKey{g.id, id})
	if err != nil {
		return err
	}
	if !e.changed {
		e.changed = true
		w.changed = append(w.changed, e)
	}
	return take(e)
}

// An origin is where a part of a record comes from.
type origin struct {
	record.Record
	gateway *gatewayRow
	epoch   *epochRow
}

func (w *writer) update(ctx context.Context, o *origin, held record.Content) error {
	u := held.Update
	w.lacking(o)
	w.again = w.again || o.First <= o.epoch.upto
	for b, err := range held.Blocks() {
		if err == nil {
			err = w.block(ctx, o, &b)
		}
		if err != nil {
			return err
		}
	}
	if u.Thinned != nil {
		if err := w.thinned(ctx, o, held); err != nil {
			return err
		}
	}
	if u.Gap != nil {
		if err := w.gap(ctx, o, u.Gap); err != nil {
			return err
		}
	}
	w.arrived(o)
	if u.End != nil {
		return w.end(ctx, o, u.End)
	}
	return nil
}

// lacking makes a gap of names that the log gives no more: these tables are
// older than all that it still has. Should it give them after all, because it
// was restored too, the gap gives way.
func (w *writer) lacking(o *origin) {
	e := o.epoch
	switch last := o.First + o.N - 1; {
	case o.First > e.upto+1:
		w.took.Gaps++
		w.late.Queue(`insert into gaps (epoch, first, n, why, received_at) values ($1, $2, $3, $4, $5) on conflict do nothing`,
			e.id, int64(e.upto+1), int64(o.First-e.upto-1), whyNotInLog, o.At)
		e.upto = o.First - 1
	case o.N > 0 && o.First <= e.upto:
		for _, sql := range giveWay {
			w.late.Queue(sql, e.id, whyNotInLog, int64(o.First), int64(last))
		}
	}
}

// arrived notes that the names of a record are accounted for. Readings behind
// an open end take it back.
func (w *writer) arrived(o *origin) {
	last := o.First + o.N - 1
	if o.N == 0 || last <= o.epoch.upto {
		return
	}
	first := max(o.First, o.epoch.upto+1) // the log may have lost what is here
	w.arrivals.add(o, first, last)
	o.epoch.upto = last
	if o.epoch.ended != endClosed {
		o.epoch.reopened = o.epoch.reopened || o.epoch.ended != ""
		o.epoch.ended, o.epoch.end = "", nil
	}
}

// block takes the readings of a block.
func (w *writer) block(ctx context.Context, o *origin, b *record.Block) error {
	rs, err := b.Readings(w.blocks)
	if err != nil {
		return fmt.Errorf("block from %d: %w", b.First, err)
	}
	anchor, err := w.anchor(ctx, o, b.Anchor)
	if err != nil {
		return err
	}
	if err := w.decided(ctx, o, b.BlockHeader); err != nil {
		return err
	}
	offset := micros(b.Anchor.Offset)
	key := channelKey{gateway: o.gateway.id}
	for i := range rs {
		r := &rs[i]
		key.channel = r.Channel
		channel, err := w.names.channel(ctx, w.tx, key)
		if err != nil {
			return err
		}
		if err := w.reading(ctx,
			&row{b.From + uint64(i), micros(int64(r.At)) + offset, r.Value, o.epoch.id, channel, anchor, r.Quality}); err != nil {
			return err
		}
	}
	return nil
}

// decided notes where readings lie whose time the anchor that they came with
// does not decide, or not for good: there was no clock to believe, or their
// block goes over from one anchor to the next.
func (w *writer) decided(ctx context.Context, o *origin, h gateway.BlockHeader) error {
	e := o.epoch
	if h.Anchor.Boot == (gateway.BootID{}) { // of no boot: it stands alone
		return nil
	}
	line, err := w.names.line(ctx, w.tx, e.boot)
	if err != nil {
		return err
	}
	line.newest = max(line.newest, micros(int64(h.T1)))
	a, until := line.At(gateway.Stamp(micros(int64(h.T0))))
	if a.Quality >= gateway.ClockSession && a.Offset == micros(h.Anchor.Offset) && int64(until) > micros(int64(h.T1)) {
		return nil
	}
	w.unsure = true
	first, last := int64(max(h.First, o.First)), int64(h.Last())
	if e.unsureLast == 0 {
		e.unsureFirst = first
	}
	e.unsureFirst, e.unsureLast = min(e.unsureFirst, first), max(e.unsureLast, last)
	t1 := micros(int64(h.T1))
	if at, known := w.boots[e.boot]; !known || t1 > at {
		w.boots[e.boot] = t1
	}
	return nil
}

// A row is one reading as it stands in the table.
type row struct {
	seq     uint64
	us      int64 // measured at, since 1970
	value   float64
	epoch   int32
	channel int32
	anchor  int32
	quality gateway.Quality
}

// reading takes one reading.
func (w *writer) reading(ctx context.Context, r *row) error {
	if w.copied.rows >= maxRows {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	b := w.copied
	b.row(7)
	b.int8(int64(r.seq))
	b.time(r.us)
	b.float8(r.value)
	b.int4(r.epoch)
	b.int4(r.channel)
	b.int4(r.anchor)
	b.int2(int16(r.quality))
	w.took.Readings++
	return nil
}

// flush writes the readings that are gathered. New ones whose time is known go
// straight into their table, at half the cost. Should one be there all the
// same, the table refuses all of them, and careful writing begins.
func (w *writer) flush(ctx context.Context) (err error) {
	if w.copied.rows == 0 {
		return nil
	}
	into := `copy readings (seq, measured_at, value, epoch, channel, anchor, quality) from stdin (format binary)`
	// Through the staging table goes what may be there already, or whose time another
	// anchor decides: COPY alone can neither skip a row nor compute one.
	staged := w.careful || w.again || w.unsure
	if staged {
		into = `copy staging from stdin (format binary)`
	}
	if _, err := w.tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(w.copied.end()), into); err != nil {
		return fmt.Errorf("copy %d readings: %w", w.copied.rows, err)
	}
	if staged {
		if err := w.insert(ctx); err != nil {
			return fmt.Errorf("insert %d readings: %w", w.copied.rows, err)
		}
	}
	w.copied.reset()
	w.unsure, w.again = false, false
	return nil
}

// insert brings over what is staged.
func (w *writer) insert(ctx context.Context) (err error) {
	if w.unsure {
		_, err = w.tx.Exec(ctx, insertCorrected, slices.Collect(maps.Keys(w.boots)))
	} else {
		_, err = w.tx.Exec(ctx, insertReadings)
	}
	if err == nil {
		_, err = w.tx.Exec(ctx, `truncate staging`)
	}
	return err
}

// anchor gives the id of an anchor, and notes if it is a new one that may
// correct readings.
func (w *writer) anchor(ctx context.Context, o *origin, a gateway.Anchor) (int32, error) {
	boot, err := w.names.boot(ctx, w.tx, bootKey{o.gateway.id, a.Boot})
	if err != nil {
		return 0, err
	}
	if a.Boot != (gateway.BootID{}) {
		o.epoch.boot = boot
	}
	key := anchorKey{boot, micros(int64(a.From)), micros(a.Offset), a.Quality}
	id, made, err := w.names.anchor(ctx, w.tx, key, a.Error.Microseconds())
	if err != nil || !made || a.Boot == (gateway.BootID{}) {
		return id, err
	}
	line, err := w.names.line(ctx, w.tx, boot)
	if err != nil {
		return id, err
	}
	late := key.from <= line.newest
	if !late {
		// Behind all readings, but another one that was told sooner lies there, too: it may
		// have decided the time of readings before both, and the nearer one does.
		if err := w.tx.QueryRow(ctx, nearer, boot, key.from, id).Scan(&late); err != nil {
			return id, fmt.Errorf("look for anchors behind a new one: %w", err)
		}
	}
	w.better = append(w.better, betterAnchor{id, boot, key.from, late})
	return id, nil
}

// nearer says whether there is a synchronised anchor behind a new one, or at the
// same stamp.
const nearer = `select exists (select from anchors where boot = $1 and from_us >= $2 and id <> $3 and quality >= 2)`

// wireAnchor gives the id of an anchor as it is on the wire.
func (w *writer) wireAnchor(ctx context.Context, o *origin, a *wire.Anchor) (int32, error) {
	return w.anchor(ctx, o, gateway.Anchor{Boot: a.Boot, From: gateway.Stamp(a.From), Offset: a.Offset, Quality: a.Quality,
		Error: gateway.Micros(a.ErrUS)})
}
