package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// Open gives the ledger of a gateway as of now: what is saved, and what the log
// has beyond it. It is for reading: nothing of it is to be saved.
func Open(ctx context.Context, log record.Log, kv record.KV, gatewayID string) (*Gateway, error) {
	b := newGateway(gatewayID, log, kv)
	if err := errors.Join(b.load(ctx), b.loadAll(ctx)); err != nil {
		return nil, err
	}
	ok, err := b.intact(ctx)
	if err != nil {
		return nil, err
	}
	from := uint64(0)
	if ok {
		from = b.checkpoint.Seq + 1
	}
	for r, err := range log.Read(ctx, gatewayID, from) {
		if err == nil {
			err = b.enter(ctx, r)
		}
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", gatewayID, err)
		}
	}
	return b, nil
}

// Knows tells whether there is a ledger of a gateway: it outlives the
// credential and the log.
func Knows(ctx context.Context, kv record.KV, gatewayID string) (bool, error) {
	b := newGateway(gatewayID, nil, kv)
	return b.read(ctx, b.checkpointKey(), new(checkpoint))
}

// Births gives when the newest epochs of a gateway, at most 64, were first heard
// of.
func Births(ctx context.Context, kv record.KV, gatewayID string) ([]time.Time, error) {
	b := newGateway(gatewayID, nil, kv)
	err := b.load(ctx)
	return b.checkpoint.Born, err
}
