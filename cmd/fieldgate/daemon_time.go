package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
)

// floor is a time that is certainly past: no certificate is checked at an
// earlier one, so that a board whose clock was never set can connect.
func (d *daemon) floor() time.Time {
	told := d.store.CloudTime()
	if b := cli.Built(); b.After(told) {
		return b
	}
	return told
}

// keepTime notes every anchor that replaces another as an event: from it a
// reader learns the right time of readings that it has already.
func (d *daemon) keepTime(ctx context.Context) error {
	d.clock.Watch(ctx, func(now, before gateway.Anchor) {
		body, err := json.Marshal(map[string]any{
			"quality": now.Quality.String(), "was": before.Quality.String(),
			"step_ms": (now.Offset - before.Offset) / 1000, "error_ms": now.Error.Milliseconds(),
		})
		if err == nil {
			_, err = d.store.AddEvent(gateway.Event{Kind: gateway.EventAnchor, At: now.From, Body: body})
		}
		if err != nil {
			d.log.Warn("the new time is noted in memory alone; it is written when the card works again", "error", err)
		}
	})
	return nil
}
