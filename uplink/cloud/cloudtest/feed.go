package cloudtest

import (
	"context"
	"iter"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A Feed is a record.Feed and record.Gauge that gives no records and knows no
// consumers: for servers whose ledger has nothing to do.
type Feed struct{}

// Scan implements record.Feed.
func (Feed) Scan(context.Context, uint64) iter.Seq2[record.Entry, error] {
	return func(func(record.Entry, error) bool) {}
}

// Consume implements record.Feed.
func (Feed) Consume(ctx context.Context, _ string, _ int, _ func(context.Context, []record.Entry) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// Purge implements record.Feed.
func (Feed) Purge(context.Context, time.Duration) error { return nil }

// Consumers implements record.Gauge.
func (Feed) Consumers(context.Context) ([]record.ConsumerState, error) { return nil, nil }

// Forget implements record.Gauge.
func (Feed) Forget(context.Context, string) error { return record.ErrNoConsumer }
