package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// How far the sink has come is known twice: the log remembers what it has
// passed to this consumer, and the database what it has taken in, in the table
// position. They part when the database is replaced: restored from a backup,
// taken over by a standby that lagged, emptied, or another one under the same
// address. The database is right then, and the log goes back to it.

const (
	wherePosition = `select record, record_seq from position`
	setPosition   = `update position set record = $1, record_seq = $2`
	// maxOldPositions is at how many positions of gateways the log is asked for a record
	// that it and the database have in common.
	maxOldPositions = 1000
)

// errMoved: the tables are not those that this connection wrote last.
var errMoved = errors.New("the tables were replaced by others while the connection was open")

// A position is a record of the log, by its sequence and its id. The id is drawn
// at random: two logs have no record in common.
type position struct {
	record string
	seq    uint64
}

func positionOf(e record.Entry) position { return position{e.ID, e.Seq} }

// stands tells whether the tables are still where this connection left them,
// and keeps them from being replaced until the transaction ends. What it keeps
// in memory, ids of rows among them, is true of no others.
func (l *link) stands(ctx context.Context, tx pgx.Tx) error {
	var at position
	err := tx.QueryRow(ctx, wherePosition+` for update`).Scan(&at.record, &at.seq)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && at != l.at {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("look where the tables stand: %w", err)
	}
	return nil
}

// join makes sure that the log goes on where the database ends. first is the
// next record that the log gives; the error is a *record.BehindError if the
// database lacks records before it.
func (s *Sink) join(ctx context.Context, first record.Entry) error {
	l := s.link
	common, err := s.common(ctx)
	if err != nil {
		return err
	}
	// Between the two there may be no record, or only purged ones. The log goes back
	// where it still has one, and only once to the same place: a log that cannot give
	// it would be asked for ever.
	if first.Seq > common.Seq+1 && (s.wentBack == nil || *s.wentBack != common.Seq) {
		lacks, err := s.firstBehind(ctx, common.Seq)
		if err != nil || lacks < first.Seq {
			s.wentBack = &common.Seq
			s.log.Warn("PostgreSQL lacks records that were written: it, or the log, was restored, emptied or replaced; the log gives them again",
				"where", s.where(), "has_up_to", common.Seq, "next", first.Seq)
			return &common
		}
	}
	s.wentBack, l.joined = nil, true
	return nil
}

// common gives the newest record that the database has and the log knows. If
// there is none, the tables are empty, of another log, or older than all that
// the log still has: then everything comes again, and what is there already is
// not written twice.
func (s *Sink) common(ctx context.Context) (record.BehindError, error) {
	places, err := s.link.positions(ctx)
	if err != nil {
		return record.BehindError{}, err
	}
	for _, p := range places {
		for e, err := range s.opt.Feed.Scan(ctx, p.seq) {
			if err != nil && ctx.Err() != nil {
				return record.BehindError{}, ctx.Err()
			}
			if err == nil && positionOf(e) == p {
				return record.BehindError{Seq: e.Seq, At: e.At}, nil
			}
			break
		}
	}
	return record.BehindError{}, nil
}

// places gives the newest records that the database has, newest first.
func (l *link) positions(ctx context.Context) (all []position, err error) {
	if l.at.seq > 0 {
		all = append(all, l.at)
	}
	rows, err := l.conn.Query(ctx,
		`select record, record_seq from gateways where record <> '' and record_seq <= $1 order by record_seq desc limit $2`, l.at.seq, maxOldPositions)
	if err != nil {
		return nil, fmt.Errorf("look where the tables stand: %w", err)
	}
	var p position
	_, err = pgx.ForEachRow(rows, []any{&p.record, &p.seq}, func() error {
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look where the tables stand: %w", err)
	}
	return all, nil
}

// firstBehind gives the sequence of the first record behind another.
func (s *Sink) firstBehind(ctx context.Context, seq uint64) (uint64, error) {
	for e, err := range s.opt.Feed.Scan(ctx, seq+1) {
		return e.Seq, err
	}
	return seq, nil
}
