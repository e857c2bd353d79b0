package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	purgeEvery = time.Hour
	keepLeast  = time.Hour // what gateways may still have to compare is younger
)

// keepFlag says how long the log keeps records.
type keepFlag struct {
	Keep time.Duration `placeholder:"AGE" help:"Delete records of the log that are older than this, such as 2160h (90 days). A record stays until the ledger, the database and every other consumer have taken it. Without it nothing is deleted."`
}

// AfterApply refuses an age that would take what is still needed.
func (k keepFlag) AfterApply() error {
	if k.Keep != 0 && k.Keep < keepLeast {
		return fmt.Errorf("--keep %s: want at least %s", k.Keep, keepLeast)
	}
	return nil
}

// purging deletes old records every hour until ctx is done. The first time is
// an hour after the start: by then every consumer is known.
func (k keepFlag) purging(ctx context.Context, purge func(context.Context, time.Duration) error, log *slog.Logger) {
	if k.Keep == 0 {
		return
	}
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := purge(ctx, k.Keep)
		if err != nil && !failing && ctx.Err() == nil {
			log.Error("old records of the log cannot be deleted; trying every hour", "error", err)
		}
		failing = err != nil
	}
}
