package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store"
)

type bufferExport struct {
	bufferDir
	Gateway  string    `placeholder:"ID" help:"gateway_id of the lines. Without it: that in the configuration; none with --dir."`
	Format   string    `enum:"csv,ndjson" default:"csv" help:"csv or ndjson, with the lines of the cloud's API."`
	Device   string    `help:"Only this device. Without it: all."`
	Quantity string    `help:"Only this quantity. Without it: all."`
	From     time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from this time on. Without it: from the oldest on."`
	To       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from before this time. Without it: to the newest."`
	Output   string    `short:"o" placeholder:"FILE" help:"File to write. Without it: the terminal."`
}

// Run writes the readings out, oldest epoch first.
func (k bufferExport) Run(ctx context.Context, c cli.Console) error {
	if k.Gateway == "" && k.Dir == "" {
		cfg, err := k.configuration()
		if err != nil {
			return err
		}
		k.Gateway = cfg.Gateway.ID
	}
	s, table, err := k.inspect()
	if err != nil {
		return err
	}
	defer s.Leave()
	to, done := c.Out, func() error { return nil }
	if k.Output != "" {
		f, err := os.Create(k.Output)
		if err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		to, done = f, f.Close
	}
	if err := errors.Join(k.write(ctx, s, to), done()); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	for _, cond := range table.List() {
		switch cond.Code {
		case store.ConditionUnreadable:
			err = errUnreadStore
			fallthrough
		case store.ConditionDamage:
			fmt.Fprintln(c.Err, "fieldgate:", cond.Sentence)
		}
	}
	return err
}

// write writes the lines of all epochs. One that cannot be read does not keep
// the others from being written.
func (k bufferExport) write(ctx context.Context, s *store.Store, to io.Writer) error {
	w := bufio.NewWriter(to)
	x := &exporter{bufferExport: k, times: s.Timelines()}
	if k.Format == "csv" {
		x.out = lines.NewCSV(w, k.Gateway)
	} else {
		x.out = lines.NewNDJSON(w, k.Gateway)
	}
	var unread error
	for _, e := range s.Epochs() {
		x.acked = e.Acked
		unread = errors.Join(unread, s.Walk(ctx, e.ID, x.stretch))
		if _, failed := w.Write(nil); failed != nil { // nobody takes what other epochs have
			return failed
		}
	}
	if err := x.out.Flush(); err != nil {
		return err
	}
	return errors.Join(unread, w.Flush())
}

// An exporter writes what a walk through the store comes upon.
type exporter struct {
	bufferExport
	out   lines.Writer
	times gateway.Timelines
	acked uint64        // of the epoch that is walked, the cloud acknowledged the readings up to here
	line  lines.Reading // reused
}

func (x *exporter) stretch(b store.Stretch) error {
	switch {
	case b.Unread != nil && b.N == 0:
		return nil // the end of the epoch, which is not known
	case b.Unread != nil:
		return x.out.Other(lines.NewElsewhere(lines.Unreadable, x.Gateway, b.Range))
	case b.Gap != nil:
		return x.gap(b)
	case b.End != nil:
		return x.end(b)
	case b.Thinned:
		return x.summaries(b)
	}
	return x.readings(b)
}

// readings writes the readings of a stretch.
func (x *exporter) readings(b store.Stretch) error {
	clock := x.times.Clock(b.Header.Anchor)
	l := &x.line
	for i := range b.Readings {
		r := &b.Readings[i]
		l.Epoch, l.Seq = b.Epoch, b.First+uint64(i)
		l.Of(r, clock.Decides(r.At))
		// A reading whose time is not known is of any time, and is written.
		if !x.chosen(r.Channel) || l.Time > gateway.ClockNone && !x.meets(time.UnixMicro(l.Wall), time.UnixMicro(l.Wall)) {
			continue
		}
		if err := x.out.Reading(l); err != nil {
			return err
		}
	}
	return nil
}

// summaries writes what is left of downsampled readings.
func (x *exporter) summaries(b store.Stretch) error {
	line := x.times.Clock(b.Header.Anchor).Timeline
	for i := range b.Summaries {
		sum := &b.Summaries[i]
		if !x.chosen(sum.Channel) || !x.possible(line, sum.From, sum.From.Add(sum.Interval)) {
			continue
		}
		if err := x.out.Other(lines.NewThinned(x.Gateway, b.Range, b.From, sum, line)); err != nil {
			return err
		}
	}
	return nil
}

// gap writes what stands in the place of readings: those that the cloud alone
// has, and those that are missing.
func (x *exporter) gap(b store.Stretch) error {
	line := x.times.Clock(b.Gap.Anchor).Timeline
	if !x.possible(line, b.Gap.T0, b.Gap.T1) {
		return nil
	}
	r, held := b.Range, withTheCloud(b, x.acked)
	if held > 0 {
		r.N = held
		if err := x.out.Other(lines.NewElsewhere(lines.WithCloud, x.Gateway, r)); err != nil {
			return err
		}
	}
	if b.N == held {
		return nil
	}
	r.First, r.N = b.First+held, b.N-held
	return x.out.Other(lines.NewGap(x.Gateway, r, *b.Gap, line))
}

// end writes how an epoch ended.
func (x *exporter) end(b store.Stretch) error {
	end := b.End
	if end.Closed {
		return x.out.Other(lines.NewClosed(x.Gateway, b.Epoch, end.Last))
	}
	line := x.times.Clock(end.Anchor).Timeline
	until := end.T1
	if until < end.T0 { // nobody knows how long the board went on
		until = math.MaxInt64
	}
	if !x.possible(line, end.T0, until) {
		return nil
	}
	return x.out.Other(lines.NewOpenEnd(x.Gateway, b.Epoch, b.First-1, *end, line))
}

// chosen tells whether a channel is one of those asked for.
func (k bufferExport) chosen(ch *gateway.Channel) bool {
	return (k.Device == "" || k.Device == ch.Device) && (k.Quantity == "" || k.Quantity == ch.Quantity)
}

// possible tells whether something that lies between these stamps can be of
// the time that is asked for.
func (k bufferExport) possible(line gateway.Timeline, s0, s1 gateway.Stamp) bool {
	t0, t1, q := line.Bounds(s0, s1)
	return q == gateway.ClockNone || k.meets(t0, t1)
}

func (k bufferExport) meets(t0, t1 time.Time) bool {
	return !t1.Before(k.From) && (k.To.IsZero() || t0.Before(k.To))
}
