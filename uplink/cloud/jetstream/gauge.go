package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud"
)

var _ cloud.Gauge = (*Log)(nil)

// Consumers implements cloud.Gauge. What is behind is counted in places of the
// stream, those that were purged included.
func (l *Log) Consumers(ctx context.Context) ([]cloud.ConsumerState, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: look at the log: %w", cloud.ErrUnavailable, err)
	}
	var list []cloud.ConsumerState
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
		c := cloud.ConsumerState{Name: strings.TrimPrefix(doc.Key, cursorPrefix)}
		if at.Seq < info.State.LastSeq {
			c.Behind = info.State.LastSeq - max(at.Seq, info.State.FirstSeq-1)
			m, err := l.stream.GetMsg(ctx, at.Seq+1, jetstream.WithGetMsgSubject(subjectPrefix+"*"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				c.Behind = 0
			} else if err != nil {
				return nil, fmt.Errorf("%w: read the log: %w", cloud.ErrUnavailable, err)
			} else {
				c.Oldest = m.Time
			}
		}
		list = append(list, c)
	}
	return list, nil
}
