package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/disk"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/judge"
	"github.com/fieldgate/fieldgate/packaging/e2e/campaign/line"
)

// drainWithin is how long a board may take to deliver what it has, on a line
// that works.
const drainWithin = 2 * time.Minute

// drain heals everything, and has every board deliver what its card holds.
func (w *testbed) drain(ctx context.Context) error {
	c := w.cloud
	c.card.Heal()
	c.run.signal(syscall.SIGCONT)
	if err := c.mend(ctx); err != nil {
		return err
	}
	delivering, done := context.WithCancel(ctx)
	var server sync.WaitGroup
	var serr error
	server.Go(func() { serr = c.pass(delivering, time.Hour) })
	var all sync.WaitGroup
	undone, errs := make([]string, len(w.boards)), make([]error, len(w.boards))
	for i, b := range w.boards {
		all.Go(func() { undone[i], errs[i] = b.deliver(ctx) })
	}
	all.Wait()
	done()
	server.Wait()
	w.run.Drained = true
	for _, u := range undone {
		if u != "" {
			w.run.Drained, w.run.Undone = false, w.run.Undone+u+"; "
		}
	}
	return errors.Join(append(errs, serr)...)
}

// deliver ends the last life of a board and of its clones, and lets each of
// them, without devices and one at a time, give the cloud what it has.
func (b *board) deliver(ctx context.Context) (undone string, err error) {
	all := append([]*board{b}, b.clones...)
	for _, one := range all {
		one.line.Set(line.Up)
		one.card.Heal()
		if one.run != nil {
			one.run.signal(syscall.SIGCONT)
		}
		one.end(ctx, judge.Stopped)
		if err := one.mount(); err != nil {
			return "", err
		}
	}
	for _, one := range all {
		if err := one.configure(""); err != nil {
			return "", err
		}
		if err := one.start(ctx); err != nil {
			return "", err
		}
		if !one.drained(ctx) {
			undone += one.name + " did not deliver everything"
		}
		one.run.signal(syscall.SIGTERM)
		if !one.run.wait(time.Minute) {
			undone += one.name + " did not stop"
		}
		one.unwatch()
		one.run = nil
		err = errors.Join(err, one.export())
	}
	return undone, err
}

// mount checks a card as a person would who wants to be sure, and mounts it.
func (b *board) mount() error {
	if _, _, err := b.card.Cut(disk.Spare); err != nil {
		return err
	}
	return b.insert("-fy", 0)
}

// quiet is how long a board that has nothing more is listened to while the
// cloud awaits more: of a life to which the card was of no use no card knows,
// and nobody will ever tell the cloud how it ended.
const quiet = 20 * time.Second

// drained waits until a board has nothing more, and the cloud awaits nothing
// more of it.
func (b *board) drained(ctx context.Context) bool {
	since := time.Now()
	for deadline := time.Now().Add(drainWithin); time.Now().Before(deadline) && ctx.Err() == nil; {
		st, err := b.ask(ctx)
		if err != nil || st.Uplink.State != "online" || st.Store.Unacked > 0 {
			since = time.Now()
		} else if time.Since(since) > quiet || b.testbed.cloud.awaitsNothing(ctx, b.gateway) {
			return true
		}
		sleep(ctx, 500*time.Millisecond)
	}
	return false
}

// awaitsNothing tells whether the cloud knows of nothing of the gateway that
// is still to come. An epoch that no board lists any more may be so for ever.
func (c *cloud) awaitsNothing(ctx context.Context, gateway string) bool {
	var answer struct {
		Epochs []struct {
			End         string `json:"end"`
			Undelivered bool   `json:"undelivered"`
		} `json:"epochs"`
		Waiting *struct {
			N uint64 `json:"n"`
		} `json:"waiting"`
	}
	err := c.get(ctx, "/v1/gateways/"+gateway+"/completeness", nil, func(r io.Reader) error { return json.NewDecoder(r).Decode(&answer) })
	for _, e := range answer.Epochs {
		if e.Undelivered && e.End == "growing" {
			return false
		}
	}
	return err == nil && (answer.Waiting == nil || answer.Waiting.N == 0)
}

// export writes into the evidence what the card holds.
func (b *board) export() error {
	state := filepath.Join(b.card.Mount, "state")
	out, err := exec.Command(b.testbed.fieldgate, "buffer", "export", "--format", "ndjson", "--dir", state).Output()
	if err != nil {
		return fmt.Errorf("export the store of %s: %w", b.name, err)
	}
	words, err := exec.Command(b.testbed.fieldgate, "buffer", "verify", "--dir", state).Output()
	var damaged *exec.ExitError // it says so by its exit code
	if err != nil && !errors.As(err, &damaged) {
		return fmt.Errorf("verify the store of %s: %w", b.name, err)
	}
	b.testbed.evidence.note(judge.StoresFile, judge.Line{Board: b.name, Gateway: b.gateway, Type: "verify", Why: string(words)})
	return b.testbed.copyLines(judge.StoresFile, bytes.NewReader(out), map[string]string{"board": b.name, "gateway_id": b.gateway})
}
