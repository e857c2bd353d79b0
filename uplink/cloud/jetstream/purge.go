package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// lagAtMost is how far behind a server of a cluster may be that is asked which
// records are the newest: younger ones are not purged there.
const lagAtMost = 5 * time.Minute

// Purge implements record.Feed. Known consumers are those of Consume, and every
// durable consumer that somebody else has made on the stream. Of each gateway
// the newest record stays, and the one that it names as its predecessor.
func (l *Log) Purge(ctx context.Context, age time.Duration) error {
	if !l.alone {
		age = max(age, lagAtMost)
	}
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("purge the log: %w", err)
	}
	upTo, err := l.passed(ctx, info)
	if err == nil {
		upTo, err = l.firstSince(ctx, info, time.Now().Add(-age), upTo+1)
	}
	if err == nil && upTo > info.State.FirstSeq {
		err = l.purgeBelow(ctx, upTo)
	}
	if err != nil {
		return fmt.Errorf("purge the log: %w", err)
	}
	return nil
}

// passed is the place that every known consumer has come to.
func (l *Log) passed(ctx context.Context, info *jetstream.StreamInfo) (uint64, error) {
	least := info.State.LastSeq
	for doc, err := range l.List(ctx, cursorPrefix[:len(cursorPrefix)-1]) {
		if err != nil {
			return 0, err
		}
		var at position
		if err := json.Unmarshal(doc.Body, &at); err != nil {
			return 0, fmt.Errorf("%s: %w", doc.Key, err)
		}
		if !at.Of.Equal(info.Created) {
			return 0, nil // of a stream before this one: it has passed nothing of it
		}
		least = min(least, at.Seq)
	}
	consumers := l.stream.ListConsumers(ctx)
	for c := range consumers.Info() {
		if upTo, known := passedBy(c, info); known {
			least = min(least, upTo)
		}
	}
	return least, consumers.Err()
}

// passedBy is the place that a consumer has come to that another program has
// made; known is false for one that lasts no longer than its program's reading.
func passedBy(c *jetstream.ConsumerInfo, info *jetstream.StreamInfo) (upTo uint64, known bool) {
	switch {
	case c.Config.Durable == "":
		return 0, false
	case c.NumPending == 0 && c.NumAckPending == 0:
		return info.State.LastSeq, true
	case c.Config.AckPolicy == jetstream.AckNonePolicy:
		return c.Delivered.Stream, true
	}
	return c.AckFloor.Stream, true
}

// firstSince gives the place of the first record that was stored at since or
// later, or end if there is none below it.
func (l *Log) firstSince(ctx context.Context, info *jetstream.StreamInfo, since time.Time, end uint64) (uint64, error) {
	low := info.State.FirstSeq
	for low < end {
		mid := low + (end-low)/2
		m, err := l.stream.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(subjectPrefix+"*"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			end = mid
		case err != nil:
			return 0, err
		case m.Time.Before(since):
			low = m.Sequence + 1
		default:
			end = mid
		}
	}
	return min(low, end), nil
}

// purgeBelow deletes the records below upTo that no gateway needs. What a
// quiet gateway needs lies below: then it is done subject by subject, which
// costs the server more.
func (l *Log) purgeBelow(ctx context.Context, upTo uint64) error {
	cuts := map[string]uint64{} // by subject
	all := true
	r := &reader{stream: l.stream, filters: []string{subjectPrefix + "*"}, newest: true}
	defer r.close(ctx)
	for more := true; more; more = r.pending > 0 {
		m, err := r.read(ctx)
		if err != nil {
			return err
		}
		cut, err := l.cut(ctx, m, upTo)
		if err != nil {
			return err
		}
		cuts[m.subject] = cut
		all = all && cut == upTo
	}
	if all {
		return l.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo))
	}
	for subject, cut := range cuts {
		if cut <= 1 {
			continue
		}
		if err := l.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(cut)); err != nil {
			return err
		}
	}
	return nil
}

// cut is the place below which a gateway's records may go, given its newest.
// The first that stays must not be void: who reads the chain from there on
// believes it. If it does not follow what it names, nothing is purged now.
func (l *Log) cut(ctx context.Context, newest message, upTo uint64) (uint64, error) {
	cut := min(upTo, newest.seq)
	if prev, err := strconv.ParseUint(newest.header.Get(headerPrevSeq), 10, 64); err == nil && prev > 0 {
		cut = min(cut, prev)
	}
	m, err := l.stream.GetMsg(ctx, cut, jetstream.WithGetMsgSubject(newest.subject))
	if err != nil {
		return 0, err
	}
	first, err := recordOf(messageOf(m))
	if err != nil || first.PrevSeq == 0 {
		return cut, err
	}
	prev, err := l.stream.GetMsg(ctx, first.PrevSeq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return cut, nil // it is the first already
	case err != nil:
		return 0, err
	case prev.Subject != newest.subject || first.Displaced(record.Place{Seq: prev.Sequence, ID: prev.Header.Get(headerID)}):
		return 0, nil
	}
	return cut, nil
}
