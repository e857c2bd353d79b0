package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/packaging/bench/plant"
	"github.com/fieldgate/fieldgate/store"
)

const (
	outageRate = 20      // readings a second: 20 channels at 1 Hz
	outageStep = 1 << 16 // readings between two flushes: whole blocks, and less than the head holds
)

// fillOutage fills a store as if the uplink had been away for a time that ends
// now: 20 channels at 1 Hz, written the way every reading is.
func fillOutage(ctx context.Context, cfg *config.Config, away time.Duration, c cli.Console) error {
	past := &pastClock{boot: gateway.BootID(gateway.NewEpochID()), began: time.Now().Add(-away)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := store.Open(store.Options{
		Dir: cfg.Store.Dir, FlushInterval: cfg.Store.FlushInterval, HistoryFlush: cfg.Store.HistoryFlush,
		History: cfg.Store.History, MaxSize: int64(cfg.Store.MaxSize), MinFree: int64(cfg.Store.MinFree), ThinInterval: cfg.Store.ThinInterval,
		Rate: outageRate, Burst: outageRate, Clock: past, Conditions: health.New(quiet), Log: quiet, VerifyState: verifyState,
	})
	if err != nil {
		return err
	}
	total := int(away.Seconds()) * outageRate
	bar := newProgress(c.Out, fmt.Sprintf("filling the store with %v without uplink", away), uint64(total))
	source := plant.New(1)
	var rs []gateway.Reading
	for done := 0; done < total && ctx.Err() == nil; done += len(rs) {
		rs = source.Append(rs[:0], min(outageStep/8, total-done))
		past.now = rs[len(rs)-1].At
		if _, err := s.Append(rs); err != nil {
			return err
		}
		if done/outageStep != (done+len(rs))/outageStep {
			if err := s.Flush(); err != nil {
				return err
			}
		}
		bar.at(uint64(done + len(rs)))
	}
	err = s.Close()
	bar.end(s.Stats().Bytes)
	return err
}

// pastClock is the clock of a boot that lies in the past; its time is set by
// hand.
type pastClock struct {
	boot  gateway.BootID
	began time.Time
	now   gateway.Stamp
}

func (p *pastClock) Stamp() gateway.Stamp { return p.now }
func (p *pastClock) Anchor() gateway.Anchor {
	return gateway.Anchor{Boot: p.boot, Offset: p.began.UnixMicro(), Quality: gateway.ClockNTP, Error: time.Millisecond}
}

// showDrain shows how the backlog goes to the cloud until it is gone.
func showDrain(ctx context.Context, d *daemon, cloud *demoCloud, c cli.Console) {
	total := d.store.Stats().Unacked
	began := time.Now()
	bar := newProgress(c.Out, "sending the backlog to the cloud", total)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		left := d.store.Stats().Unacked
		bar.at(total - min(left, total))
		if left < outageRate*5 { // what is live is always under way
			took := time.Since(began)
			bar.end(0)
			fmt.Fprintf(c.Out, "%d readings delivered in %.1f s, %s\n", total, took.Seconds(), cloud.proof(ctx, began))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
