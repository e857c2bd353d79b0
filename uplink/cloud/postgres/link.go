package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

const (
	connectWithin = 10 * time.Second
	writeWithin   = 5 * time.Minute // one transaction; a slower database counts as down
)

// A link is a connection that holds the lock, with what it knows of the
// database. After any error it is closed: the next one begins anew.
type link struct {
	conn    *pgx.Conn
	careful bool // see writer
	names   *names
	at      position // the newest record that is in the database
	joined  bool     // the log goes on behind it
	blocks  *block.Decoder
	copied  copyBuffer
}

// connect opens a link and brings the tables to this version.
func connect(ctx context.Context, cfg *pgx.ConnConfig) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, writeWithin) // a migration may take its time
	defer cancel()
	conn, err := dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, names: newNames(), blocks: block.NewDecoder()}
	l.copied.reset()
	if err := l.begin(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func dial(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	return pgx.ConnectConfig(ctx, cfg)
}

func (l *link) begin(ctx context.Context) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	all, err := steps()
	if err != nil {
		return err
	}
	if err := migrate(ctx, l.conn, all); err != nil {
		return err
	}
	if _, err := l.conn.Exec(ctx, staging); err != nil {
		return fmt.Errorf("make the staging table: %w", err)
	}
	return l.conn.QueryRow(ctx, wherePosition).Scan(&l.at.record, &l.at.seq)
}

// lock waits for a sink that ended a moment ago, and for no other.
func (l *link) lock(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local lock_timeout = '3s'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `select pg_advisory_lock($1)`, int64(lockKey))
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" { // lock_not_available
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("take the lock: %w", err)
	}
	return nil
}

func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	_ = l.conn.Close(ctx) // what is not committed is not passed either
}

// An outcome is what one transaction has committed.
type outcome struct {
	entries int // of those that were given
	Figures
	anchors bool // that may correct readings
}

// write takes entries in one transaction, as many as make maxRows readings.
// After an error that is not poison nor duplicate the link is of no more use.
func (l *link) write(ctx context.Context, entries []record.Entry) (done outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	tx, err := l.conn.Begin(ctx)
	if err != nil {
		return done, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback(ctx) // if that fails, so will the next begin
			l.names = newNames()
			l.copied.reset()
		}
	}()
	// First, and with a lock on that row: are these the tables that this connection
	// wrote last? Ids in memory are true of no others.
	if err := l.stands(ctx, tx); err != nil {
		return done, err
	}
	l.names.trim()
	w := &writer{tx: tx, careful: l.careful, names: l.names, blocks: l.blocks, copied: &l.copied, newest: l.at.seq,
		moved: map[*gatewayRow]bool{}, boots: map[int32]int64{}}
	n := 0
	for n < len(entries) && w.took.Readings < maxRows {
		if err := w.add(ctx, entries[n]); err != nil {
			return done, err
		}
		n++
	}
	to := positionOf(entries[n-1])
	// How far the sink has come is part of the transaction. If power dies before the
	// commit, the tables are as before and the log gives the batch again; if it dies
	// behind it, add meets sequences that it knows, and goes back.
	w.late.Queue(setPosition, to.record, to.seq)
	if err := w.finish(ctx); err != nil {
		return done, err
	}
	if err := tx.Commit(ctx); err != nil {
		return done, fmt.Errorf("commit: %w", err)
	}
	l.at = to
	return outcome{n, w.took, len(w.better) > 0}, nil
}

// refuse keeps e in the table refused, in a transaction of its own.
func (l *link) refuse(ctx context.Context, e record.Entry, why error) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if err := l.stands(ctx, tx); err != nil {
			return err
		}
		w := &writer{tx: tx, names: l.names, copied: &l.copied, moved: map[*gatewayRow]bool{}}
		g, err := l.names.gateway(ctx, tx, text(e.GatewayID))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `insert into refused (gateway, record, record_seq, received_at, why, body)
			values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
			text(e.GatewayID), text(e.ID), int64(e.Seq), e.At, text(why.Error()), e.Body); err != nil {
			return fmt.Errorf("keep a record that was refused: %w", err)
		}
		g.last = e.Place()
		w.moved[g] = true
		w.late.Queue(setPosition, e.ID, e.Seq)
		return w.finish(ctx)
	})
	if err == nil {
		l.at = positionOf(e)
	}
	return err
}
