package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

var _ record.Feed = (*Log)(nil)

const (
	batchBytes  = 8 << 20          // of record bodies in a batch; a batch always has a record
	pauseAtMost = 30 * time.Second // between attempts, doubling from readPause
)

// Scan implements record.Feed.
func (l *Log) Scan(ctx context.Context, from uint64) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		r := &reader{stream: l.stream, filters: []string{subjectPrefix + "*"}, next: from}
		last := func() (uint64, error) {
			info, err := l.stream.Info(ctx)
			if err != nil {
				return 0, err
			}
			return info.State.LastSeq, nil
		}
		joint := newSeam(l.stream)
		for m, err := range r.upTo(ctx, last) {
			var e record.Entry
			if err == nil {
				err = joint.joins(ctx, m)
			}
			if err == nil {
				e, err = entryOf(m)
			}
			if err != nil {
				yield(e, fmt.Errorf("read the log: %w", err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Consume implements record.Feed. How far take has come is kept in the KV,
// as cursor.<name>: a durable consumer of JetStream's would write that lazily,
// and after a crash give the newest batch again behind newer ones. The cursor
// also says who consumes; on a cluster another server takes over when that one
// is gone. It returns nil when ctx is done.
func (l *Log) Consume(ctx context.Context, name string, batch int, take func(context.Context, []record.Entry) error) error {
	if !gateway.ValidID(name) || batch < 1 {
		return fmt.Errorf("consume the log: name %q, batch of %d", name, batch)
	}
	for pause, failing := readPause, false; ctx.Err() == nil; pause = min(2*pause, pauseAtMost) {
		c := &cursor{log: l, key: cursorPrefix + name}
		begun, err := l.consume(ctx, c, batch, take)
		if begun {
			pause, failing = readPause, false
		}
		if errors.As(err, new(*record.BehindError)) {
			pause = readPause
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errNotHeld) {
			l.opt.Logger.Info("another server goes on", "consumer", name)
		} else if !failing {
			l.opt.Logger.Error("cannot read the log for a consumer; trying again", "consumer", name, "error", err)
			failing = true
		}
		sleep(ctx, pause)
	}
	return nil
}

// consume does so until something fails; begun if at least one batch was taken.
func (l *Log) consume(ctx context.Context, c *cursor, batch int, take func(context.Context, []record.Entry) error) (begun bool, err error) {
	if err := c.acquire(ctx); err != nil {
		return false, err
	}
	ctx, lost := context.WithCancelCause(ctx)
	held := make(chan struct{})
	go func() { defer close(held); lost(c.hold(ctx)) }()
	defer func() { lost(nil); <-held; c.release() }()
	r := &reader{stream: l.stream, filters: []string{subjectPrefix + "*"}, next: c.seq() + 1}
	defer r.close(ctx)
	joint := newSeam(l.stream)
	for {
		entries, last, err := l.gather(ctx, r, joint, batch)
		if err != nil {
			return begun, errors.Join(err, context.Cause(ctx))
		}
		err = l.give(ctx, c.key, entries, take)
		if behind := new(record.BehindError); errors.As(err, &behind) {
			return true, errors.Join(err, c.goBack(ctx, behind))
		}
		if err != nil {
			return begun, err
		}
		if err := c.advance(ctx, last); err != nil {
			return begun, err
		}
		begun = true
	}
}

// gather waits for a record and takes along what else is there. last is the
// newest of them.
func (l *Log) gather(ctx context.Context, r *reader, joint *seam, batch int) (entries []record.Entry, last message, err error) {
	m, err := r.read(ctx)
	if err != nil {
		return nil, last, err
	}
	for bytes := 0; ; {
		last = m
		entries = l.accept(ctx, joint, m, entries)
		if bytes += len(m.data); len(entries) == batch || bytes >= batchBytes {
			return entries, last, nil
		}
		if ctx.Err() != nil { // more may come for long
			return nil, last, ctx.Err()
		}
		more := true
		if r.pending > 0 {
			m, err = r.soon(ctx)
		} else {
			m, more = r.there(ctx)
		}
		switch {
		case !more || errors.Is(err, errLate):
			return entries, last, nil
		case err != nil:
			return nil, last, err
		}
	}
}

// accept adds the record of m. What is damaged, or not written by a cloud
// server, would stop the consumer for ever: it is told and left out.
func (l *Log) accept(ctx context.Context, joint *seam, m message, entries []record.Entry) []record.Entry {
	e, err := entryOf(m)
	if err == nil {
		entries = append(entries, e)
	}
	if err := errors.Join(joint.joins(ctx, m), err); err != nil {
		l.opt.Logger.Error("a consumer of the log goes on without a record", "error", err)
	}
	return entries
}

// give hands a batch to take until it is taken.
func (l *Log) give(ctx context.Context, consumer string, entries []record.Entry, take func(context.Context, []record.Entry) error) error {
	if len(entries) == 0 {
		return nil
	}
	began := time.Now()
	for pause, failing := readPause, false; ; pause = min(2*pause, pauseAtMost) {
		err := take(ctx, entries)
		switch {
		case err == nil && failing:
			l.opt.Logger.Info("records are consumed again", "consumer", consumer, "after", time.Since(began).Round(time.Second))
			fallthrough
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, new(*record.BehindError)):
			return err
		case !failing:
			l.opt.Logger.Error("records cannot be consumed; they are given again until they are", "consumer", consumer, "error", err)
			failing = true
		}
		sleep(ctx, pause)
	}
}

func entryOf(m message) (record.Entry, error) {
	r, err := recordOf(m)
	return record.Entry{GatewayID: strings.TrimPrefix(m.subject, subjectPrefix), Record: r}, err
}
