package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

var _ record.Gauge = (*Log)(nil)

// foreignPrefix stands before the names of durable consumers that another
// program has made on the stream. No name of Consume has a colon.
const foreignPrefix = "nats:"

// Consumers implements record.Gauge. What is behind is counted in places of the
// stream, those that were purged included.
func (l *Log) Consumers(ctx context.Context) ([]record.ConsumerState, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: look at the log: %w", record.ErrUnavailable, err)
	}
	var list []record.ConsumerState
	for doc, err := range l.List(ctx, strings.TrimSuffix(cursorPrefix, ".")) {
		if err != nil {
			return nil, err
		}
		var at position
		if err := json.Unmarshal(doc.Body, &at); err != nil {
			return nil, fmt.Errorf("%s: %w", doc.Key, err)
		}
		if !at.Of.Equal(info.Created.UTC()) {
			at.Seq = 0 // of a stream that was lost
		}
		c := record.ConsumerState{Name: strings.TrimPrefix(doc.Key, cursorPrefix), Used: l.held(at, doc.At), Seen: doc.At}
		if c.Behind, c.Oldest, err = l.left(ctx, info, at.Seq); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	consumers := l.stream.ListConsumers(ctx)
	for f := range consumers.Info() {
		upTo, known := passedBy(f, info)
		if !known {
			continue
		}
		c := record.ConsumerState{Name: foreignPrefix + f.Name, Used: f.NumWaiting > 0 || f.PushBound}
		if f.AckFloor.Last != nil {
			c.Seen = *f.AckFloor.Last
		}
		if c.Behind, c.Oldest, err = l.left(ctx, info, upTo); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("%w: list the consumers of the log: %w", record.ErrUnavailable, err)
	}
	return list, nil
}

// left tells what lies behind a place of the log: how much, and since when.
func (l *Log) left(ctx context.Context, info *jetstream.StreamInfo, seq uint64) (n uint64, oldest time.Time, err error) {
	if seq >= info.State.LastSeq {
		return 0, oldest, nil
	}
	m, err := l.stream.GetMsg(ctx, seq+1, jetstream.WithGetMsgSubject(subjectPrefix+"*"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, oldest, nil
	}
	if err != nil {
		return 0, oldest, fmt.Errorf("%w: read the log: %w", record.ErrUnavailable, err)
	}
	return info.State.LastSeq - max(seq, info.State.FirstSeq-1), m.Time, nil
}

// held tells whether somebody consumes by a cursor that was written at this
// time: without a cluster nobody else can, and there every holder writes again
// and again.
func (l *Log) held(at position, written time.Time) bool {
	if l.alone {
		return at.Holder == l.id
	}
	return at.Holder != "" && time.Since(written) < renewLost
}

// Forget implements record.Gauge.
func (l *Log) Forget(ctx context.Context, name string) error {
	if foreign, ok := strings.CutPrefix(name, foreignPrefix); ok {
		return l.forgetForeign(ctx, foreign)
	}
	key := cursorPrefix + name
	if !validWords(key) {
		return fmt.Errorf("%w: %.80q", record.ErrNoConsumer, name)
	}
	doc, err := l.Get(ctx, key)
	if errors.Is(err, record.ErrNoDoc) {
		return fmt.Errorf("%w: %s", record.ErrNoConsumer, name)
	}
	if err != nil {
		return err
	}
	var at position
	if json.Unmarshal(doc.Body, &at) == nil && l.held(at, doc.At) { // one that cannot be read holds nothing but the log
		return fmt.Errorf("%w: %s", record.ErrConsumerUsed, name)
	}
	gone := &nats.Msg{Subject: docPrefix + key, Header: nats.Header{headerGone: {"1"}}}
	_, err = l.putAt(ctx, gone, doc.Rev, []jetstream.PublishOpt{jetstream.WithMsgTTL(goneFor)})
	if errors.Is(err, record.ErrFenced) { // somebody has taken it in this moment
		return fmt.Errorf("%w: %s", record.ErrConsumerUsed, name)
	}
	if err != nil {
		return fmt.Errorf("forget consumer %s: %w", name, err)
	}
	return nil
}

// forgetForeign deletes a durable consumer that another program has made.
func (l *Log) forgetForeign(ctx context.Context, name string) error {
	consumers := l.stream.ListConsumers(ctx)
	found, used := false, false
	for c := range consumers.Info() {
		if c.Name == name && c.Config.Durable != "" {
			found, used = true, c.NumWaiting > 0 || c.PushBound
		}
	}
	err := consumers.Err()
	switch {
	case err == nil && !found:
		return fmt.Errorf("%w: %.80q", record.ErrNoConsumer, foreignPrefix+name)
	case err == nil && used:
		return fmt.Errorf("%w: %s", record.ErrConsumerUsed, foreignPrefix+name)
	case err == nil:
		err = l.stream.DeleteConsumer(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("%w: forget consumer %s: %w", record.ErrUnavailable, foreignPrefix+name, err)
	}
	return nil
}
