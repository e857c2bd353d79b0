package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// Submit keeps a command and brings it on its way.
func (c *Dispatcher) Submit(ctx context.Context, d Command) (Command, error) {
	pending, err := c.Store.Commands(ctx, d.Gateway, true)
	if err != nil {
		return d, err
	}
	pending = slices.DeleteFunc(pending, func(p Command) bool {
		p = p.Shown(time.Now())
		return p.Final() || p.ID == d.ID
	})
	if len(pending) >= maxPending {
		return d, &Refusal{http.StatusTooManyRequests, "too_many", fmt.Sprintf("%d commands of this gateway wait already", len(pending))}
	}
	if d.Seq, err = c.Store.seq(ctx, d.Gateway); err != nil {
		return d, err
	}
	err = c.Store.put(ctx, d, 0)
	if errors.Is(err, record.ErrRevision) {
		before, _, err := c.Store.Command(ctx, d.Gateway, d.ID)
		switch {
		case err != nil:
			return d, err
		case !before.same(d):
			return d, &Refusal{http.StatusConflict, "id_taken", "another command has this id"}
		}
		d = before
	} else if err != nil {
		return d, err
	} else {
		c.Store.moved(d)
	}
	return c.route(ctx, d)
}

// route wakes the server that holds the gateway's session.
func (c *Dispatcher) route(ctx context.Context, d Command) (Command, error) {
	if d.State != Queued {
		return d, nil
	}
	data, err := json.Marshal(wake{ID: d.ID})
	if err != nil {
		return d, fmt.Errorf("encode wake: %w", err)
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, asked := c.pubsub.Request(asking, subject(d.Gateway), data)
	if asked != nil && !d.Queue {
		d, err = c.Store.change(ctx, d.Gateway, d.ID, func(d *Command) bool {
			withdrawn := d.State == Queued
			if withdrawn {
				d.State, d.Error = gateway.CommandExpired, "the gateway is not connected"
			}
			return withdrawn
		})
		if err != nil || d.State != gateway.CommandExpired || d.Sent > 0 {
			return d, err
		}
		if err := c.Store.Delete(ctx, key(d.Gateway, d.ID)); err != nil {
			c.log.Warn("cannot delete a command that was withdrawn; it goes by itself", "id", d.ID, "error", err)
		}
		return d, &Refusal{http.StatusConflict, "not_connected", "the gateway is not connected, and the command may not wait"}
	}
	now, _, err := c.Store.Command(ctx, d.Gateway, d.ID)
	return now, err
}

// Await watches a command until it is final, at most so long. What it cannot
// learn it leaves as it was.
func (c *Dispatcher) Await(ctx context.Context, d Command, wait time.Duration) Command {
	if d.State == Queued { // nobody notes that it has expired there
		wait = min(wait, time.Until(d.Expires)+time.Millisecond)
	}
	if d.Final() || wait <= 0 {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_ = c.Store.Watch(ctx, key(d.Gateway, d.ID), func(doc record.Doc) {
		var now Command
		if doc.Body != nil && json.Unmarshal(doc.Body, &now) == nil {
			d = now
		}
		if doc.Body == nil || d.Final() {
			cancel()
		}
	})
	return d
}
