package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxNames bounds each table of names kept in memory: beyond it, they are
// asked for again.
const maxNames = 100_000

// names are the rows of the small tables, so that a reading needs none. They
// hold what the transaction under way has made too: after one that failed
// they are made anew.
type names struct {
	gateways map[string]*gatewayRow
	boots    map[bootKey]int32
	epochs   map[epochKey]*epochRow
	anchors  map[anchorKey]int32
	lines    map[int32]*bootLine
	channels map[channelKey]int32
}

type gatewayRow struct {
	id   int32
	last record.Place // the newest of its records that is not void; zero: not known
}

// An epochRow is also what a transaction changes of it.
type epochRow struct {
	id    int32
	boot  int32           // 0: not known yet
	upto  uint64          // every name up to here is accounted for
	ended string          // "": growing; "closed", or why it ended by an open gap
	end   *record.OpenEnd // how it ends by this transaction; nil: as the table says

	endAnchor               *int32 // of end
	changed                 bool
	reopened                bool  // readings came behind the open end it had
	unsureFirst, unsureLast int64 // readings without a clock to believe in this transaction; 0: none
}

type bootKey struct {
	gateway int32
	boot    gateway.BootID
}

type epochKey struct {
	gateway int32
	epoch   gateway.EpochID
}

type anchorKey struct {
	boot         int32
	from, offset int64
	quality      gateway.ClockQuality
}

// A bootLine is what is known of the time of a boot, stamps and offsets as they
// stand in the tables.
type bootLine struct {
	gateway.Timeline
	newest int64 // stamp of its newest reading
}

type channelKey struct {
	gateway int32
	channel *gateway.Channel // of the decoder, which gives one channel one pointer
}

func newNames() *names {
	return &names{map[string]*gatewayRow{}, map[bootKey]int32{}, map[epochKey]*epochRow{}, map[anchorKey]int32{},
		map[int32]*bootLine{}, map[channelKey]int32{}}
}

// trim forgets what would grow without end.
func (n *names) trim() {
	if len(n.gateways)+len(n.boots)+len(n.epochs)+len(n.anchors)+len(n.lines)+len(n.channels) > maxNames {
		*n = *newNames()
	}
}

// void tells whether r is out of its gateway's chain. A record whose
// predecessor is unknown counts as valid: its readings are real ones under
// their own names, so that to take it can double nothing, while to leave it
// out could lose.
func (g *gatewayRow) void(r record.Record) bool { return r.LinkTo(g.last) == record.Void }

// gateway gives a gateway's row, making it if need be.
func (n *names) gateway(ctx context.Context, tx pgx.Tx, id string) (*gatewayRow, error) {
	if g := n.gateways[id]; g != nil {
		return g, nil
	}
	g := new(gatewayRow)
	err := tx.QueryRow(ctx, `select id, record, record_seq from gateways where gateway = $1`, id).Scan(&g.id, &g.last.ID, &g.last.Seq)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `insert into gateways (gateway) values ($1) returning id`, id).Scan(&g.id)
	}
	if err != nil {
		return nil, fmt.Errorf("find gateway %s: %w", id, err)
	}
	n.gateways[id] = g
	return g, nil
}

// epoch gives an epoch's row, making it if need be.
func (n *names) epoch(ctx context.Context, tx pgx.Tx, key epochKey) (*epochRow, error) {
	if e := n.epochs[key]; e != nil {
		return e, nil
	}
	e := new(epochRow)
	err := tx.QueryRow(ctx, `select id, coalesce(boot, 0), upto, coalesce(ended, '') from epochs where gateway = $1 and epoch = $2`,
		key.gateway, [16]byte(key.epoch)).Scan(&e.id, &e.boot, &e.upto, &e.ended)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `insert into epochs (gateway, epoch) values ($1, $2) returning id`, key.gateway, [16]byte(key.epoch)).Scan(&e.id)
	}
	if err != nil {
		return nil, fmt.Errorf("find epoch %s: %w", key.epoch, err)
	}
	n.epochs[key] = e
	return e, nil
}

// openEnd gives the open end that the table has of an epoch; nil if there is
// none.
func (n *names) openEnd(ctx context.Context, tx pgx.Tx, e *epochRow) (*record.OpenEnd, error) {
	var atMost *int64
	var o record.OpenEnd
	var a wire.Anchor
	err := tx.QueryRow(ctx,
		`select e.at_most, coalesce(e.t0_us, 0), coalesce(e.t1_us, 0), b.boot, a.from_us, a.offset_us, a.quality, a.error_us
		from epochs e join anchors a on a.id = e.anchor join boots b on b.id = a.boot where e.id = $1`, e.id).
		Scan(&atMost, &o.T0, &o.T1, (*[16]byte)(&a.Boot), &a.From, &a.Offset, &a.Quality, &a.ErrUS)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && atMost == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the end of an epoch: %w", err)
	}
	o.Why, o.AtMost, o.Anchor = gateway.Why(e.ended), uint64(*atMost), a
	return &o, nil
}

// boot gives the id of a boot, making it if need be.
func (n *names) boot(ctx context.Context, tx pgx.Tx, key bootKey) (int32, error) {
	id, ok := n.boots[key]
	if ok {
		return id, nil
	}
	err := tx.QueryRow(ctx, `select id from boots where gateway = $1 and boot = $2`, key.gateway, [16]byte(key.boot)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `insert into boots (gateway, boot) values ($1, $2) returning id`, key.gateway, [16]byte(key.boot)).Scan(&id)
	}
	if err != nil {
		return 0, fmt.Errorf("find boot %s: %w", key.boot, err)
	}
	n.boots[key] = id
	return id, nil
}

// anchor gives the id of an anchor, and whether it was made now.
func (n *names) anchor(ctx context.Context, tx pgx.Tx, key anchorKey, errorUS int64) (id int32, made bool, err error) {
	if id, ok := n.anchors[key]; ok {
		return id, false, nil
	}
	err = tx.QueryRow(ctx, `select id from anchors where boot = $1 and from_us = $2 and offset_us = $3 and quality = $4`,
		key.boot, key.from, key.offset, int16(key.quality)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		made = true
		err = tx.QueryRow(ctx, `insert into anchors (boot, from_us, offset_us, quality, error_us) values ($1, $2, $3, $4, $5) returning id`,
			key.boot, key.from, key.offset, int16(key.quality), errorUS).Scan(&id)
		if line := n.lines[key.boot]; line != nil {
			line.Timeline, _ = line.With(key.anchor(errorUS))
		}
	}
	if err != nil {
		return 0, false, fmt.Errorf("find anchor: %w", err)
	}
	n.anchors[key] = id
	return id, made, nil
}

func (k anchorKey) anchor(errorUS int64) gateway.Anchor {
	return gateway.Anchor{From: gateway.Stamp(k.from), Offset: k.offset, Quality: k.quality, Error: gateway.Micros(errorUS)}
}

// newestOf looks at the newest readings of each epoch of a boot: within one
// they come in the order of time, but for the few that are read at once.
const newestOf = `select coalesce(max(newest.at), $2) from epochs e cross join lateral (
		select max((extract(epoch from r.measured_at) * 1000000)::bigint - a.offset_us) as at
		from (select measured_at, anchor from readings where epoch = e.id order by seq desc limit 1000) r join anchors a on a.id = r.anchor
	) newest where e.boot = $1`

// line gives what the database has of the time of a boot.
func (n *names) line(ctx context.Context, tx pgx.Tx, boot int32) (*bootLine, error) {
	if line := n.lines[boot]; line != nil {
		return line, nil
	}
	line := &bootLine{}
	if err := tx.QueryRow(ctx, newestOf, boot, int64(math.MinInt64)).Scan(&line.newest); err != nil {
		return nil, fmt.Errorf("find the newest reading of a boot: %w", err)
	}
	rows, err := tx.Query(ctx, `select from_us, offset_us, quality, error_us from anchors where boot = $1 order by id`, boot)
	if err != nil {
		return nil, fmt.Errorf("find the anchors of a boot: %w", err)
	}
	k, errorUS := anchorKey{}, int64(0)
	_, err = pgx.ForEachRow(rows, []any{&k.from, &k.offset, &k.quality, &errorUS}, func() error {
		line.Timeline, _ = line.With(k.anchor(errorUS))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the anchors of a boot: %w", err)
	}
	n.lines[boot] = line
	return line, nil
}

// channel gives the id of a channel, making it if need be.
func (n *names) channel(ctx context.Context, tx pgx.Tx, key channelKey) (int32, error) {
	id, ok := n.channels[key]
	if ok {
		return id, nil
	}
	device, quantity, unit := text(key.channel.Device), text(key.channel.Quantity), text(key.channel.Unit)
	err := tx.QueryRow(ctx, `select id from channels where gateway = $1 and device = $2 and quantity = $3 and unit = $4`,
		key.gateway, device, quantity, unit).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `insert into channels (gateway, device, quantity, unit) values ($1, $2, $3, $4) returning id`,
			key.gateway, device, quantity, unit).Scan(&id)
	}
	if err != nil {
		return 0, fmt.Errorf("find channel %s/%s: %w", device, quantity, err)
	}
	n.channels[key] = id
	return id, nil
}

// text gives s without what PostgreSQL does not take in a text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// micros bounds a time in microseconds to what PostgreSQL can hold of it, sums
// of two included: 142 years either way. Only a gateway gone mad has others.
func micros(us int64) int64 { return max(-1<<52, min(us, 1<<52)) }
