package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

var _ record.PubSub = (*Log)(nil)

const (
	pubsubPrefix = "fg.v1."
	// What a listener that is too slow may have waiting; the rest is not
	// given to it.
	waitingMsgs  = 8192
	waitingBytes = 8 << 20
)

// subjectOf gives NATS' name of a subject. What the streams keep is no
// message of PubSub.
func subjectOf(subject string, pattern bool) (string, error) {
	words := strings.Split(subject, ".")
	if first := words[0]; first == "raw" || first == "doc" {
		return "", fmt.Errorf("subject %.80q belongs to a stream", subject)
	}
	if last := len(words) - 1; pattern && last > 0 && words[last] == ">" {
		words = words[:last]
	}
	for i := 1; pattern && i < len(words); i++ {
		if words[i] == "*" {
			words[i] = "any"
		}
	}
	if !validWords(strings.Join(words, ".")) {
		return "", fmt.Errorf("subject %.80q is not one of PubSub", subject)
	}
	return pubsubPrefix + subject, nil
}

// Publish implements record.PubSub.
func (l *Log) Publish(subject string, data []byte) error {
	s, err := subjectOf(subject, false)
	if err == nil {
		err = l.conn.Publish(s, data)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// Request implements record.PubSub. It waits no longer than Options.Timeout.
func (l *Log) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	s, err := subjectOf(subject, false)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	m, err := l.conn.RequestWithContext(ctx, s, data)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("request %s: %w", subject, record.ErrNobody)
	}
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	return m.Data, nil
}

// Subscribe implements record.PubSub. A call of hear that is under way when stop is
// called is not waited for.
func (l *Log) Subscribe(subject string, hear func(subject string, data []byte) []byte) (stop func(), err error) {
	s, err := subjectOf(subject, true)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	sub, err := l.subscribers.add(l.conn, s, &listener{hear: hear})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	stop = func() {
		l.subscribers.remove(sub)
		_ = sub.Unsubscribe()
	}
	// From here on nothing that others publish is missed.
	if err := l.conn.FlushTimeout(l.opt.Timeout); err != nil {
		stop()
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return stop, nil
}
