package cloud

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// inMemory makes a server. What it works with and opt does not name lies in
// memory.
func inMemory(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = &cloudtest.Log{}
	}
	if opt.Feed == nil {
		opt.Feed = cloudtest.Feed{}
	}
	if opt.Gauge == nil {
		opt.Gauge = cloudtest.Feed{}
	}
	if opt.KV == nil {
		opt.KV = &cloudtest.KV{}
	}
	if opt.PubSub == nil {
		opt.PubSub = &cloudtest.PubSub{}
	}
	return New(opt)
}

// newChain makes a chain of gateway g. No ledger knows its epochs.
func newChain(l record.Log) *chain {
	return &chain{
		log: l, gatewayID: "g", tried: func(time.Duration, error) {}, trouble: func(error) {},
		recall: func(_ context.Context, _ string, e gateway.EpochID) (record.EpochState, bool, error) {
			return record.EpochState{ID: e, End: record.EndNone}, false, nil
		},
	}
}
