package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	correctStep  = 20_000          // readings looked at in one transaction
	correctEvery = 5 * time.Minute // look for work, also if nothing wakes
)

// correct gives readings a better time when an anchor of their boot came after
// them, until ctx is done. It works beside the writing, on a connection of its
// own, in short steps.
func (s *Sink) correct(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-time.After(correctEvery):
		}
		n, err := s.correctAll(ctx)
		s.mu.Lock()
		s.state.Corrected += n
		s.mu.Unlock()
		if err != nil && ctx.Err() == nil && s.State().Err == nil {
			s.log.Warn("times of readings in PostgreSQL are not corrected yet; it is tried again", "error", err)
		}
	}
}

// correctAll corrects all there is to correct.
func (s *Sink) correctAll(ctx context.Context) (corrected uint64, err error) {
	conn, err := dial(ctx, s.renew())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var boot, better int32
		err := conn.QueryRow(ctx, `select id, better from boots where better > corrected order by id limit 1`).Scan(&boot, &better)
		if errors.Is(err, pgx.ErrNoRows) {
			return corrected, nil
		}
		if err != nil {
			return corrected, fmt.Errorf("look for readings to correct: %w", err)
		}
		n, err := correctBoot(ctx, conn, boot)
		corrected += n
		if err == nil {
			_, err = conn.Exec(ctx, `update boots set corrected = $2 where id = $1`, boot, better)
		}
		if err != nil {
			return corrected, fmt.Errorf("correct the times of boot %d: %w", boot, err)
		}
	}
}

// correctBoot corrects the readings of a boot by the anchors that are known
// now. To do so again changes nothing.
func correctBoot(ctx context.Context, conn *pgx.Conn, boot int32) (corrected uint64, err error) {
	rows, err := conn.Query(ctx, `select id, unsure_first, unsure_last from epochs where boot = $1 and unsure_first is not null order by id`,
		boot)
	if err != nil {
		return 0, err
	}
	type span struct {
		Epoch       int32
		First, Last int64
	}
	spans, err := pgx.CollectRows(rows, pgx.RowToStructByPos[span])
	for _, sp := range spans {
		// By the readings that are there, not by their names: between two may
		// lie a gap of any number.
		for first, last := sp.First, int64(0); err == nil && last < sp.Last; first = last + 1 {
			if err = conn.QueryRow(ctx, endOfStep, sp.Epoch, first, sp.Last, correctStep).Scan(&last); errors.Is(err, pgx.ErrNoRows) {
				err = nil
				break
			}
			if err != nil {
				break
			}
			var done pgconn.CommandTag
			done, err = conn.Exec(ctx, correctReadings, sp.Epoch, first, last, boot)
			corrected += uint64(done.RowsAffected())
		}
	}
	return corrected, err
}

const (
	endOfStep       = `select seq from (select seq from readings where epoch = $1 and seq between $2 and $3 order by seq limit $4) s order by seq desc limit 1`
	better          = `nullif(r.measured_at + (p.offset_us - a.offset_us) * interval '1 microsecond', r.measured_at)`
	correctReadings = `update readings r set corrected_at = ` + better + `
		from anchors a, pieces(array[$4::integer]) p
		where r.epoch = $1 and r.seq between $2 and $3 and a.id = r.anchor and ` + decides + `
			and r.corrected_at is distinct from ` + better
)
