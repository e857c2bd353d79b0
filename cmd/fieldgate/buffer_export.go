package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

type bufferExport struct {
	bufferDir
	Format   string    `enum:"csv,ndjson" default:"csv" help:"csv or ndjson. Only NDJSON has the gaps."`
	Device   string    `help:"Only this device. Without it: all."`
	Quantity string    `help:"Only this quantity. Without it: all."`
	From     time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from this time on. Without it: from the oldest on."`
	To       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"Only readings from before this time. Without it: to the newest."`
	Output   string    `short:"o" placeholder:"FILE" help:"File to write. Without it: the terminal."`
}

// Run writes the readings out, oldest epoch first.
func (k bufferExport) Run(ctx context.Context, c cli.Console) error {
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
	w := bufio.NewWriter(to)
	put, times := k.putter(w), s.Timelines()
	for _, e := range s.Epochs() {
		err = errors.Join(err, s.Walk(ctx, e.ID, k.writer(put, times, e.Acked)))
		if _, failed := w.Write(nil); failed != nil { // nobody takes what other epochs have
			err = nil // Flush says it
			break
		}
	}
	if err := errors.Join(err, w.Flush(), done()); err != nil {
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

// An exported reading, in NDJSON; or, with a reason, readings that are
// missing.
type exported struct {
	Epoch    gateway.EpochID `json:"epoch"`
	Seq      uint64          `json:"seq"`
	Device   string          `json:"device_id,omitempty"`
	Quantity string          `json:"quantity,omitempty"`
	Value    *float64        `json:"value,omitempty"`
	Unit     string          `json:"unit,omitempty"`
	Time     *time.Time      `json:"timestamp,omitempty"`
	Clock    string          `json:"time,omitempty"`
	Quality  string          `json:"quality,omitempty"`
	N        uint64          `json:"n,omitempty"` // the value is the mean of so many thinned readings from timestamp on, …
	Interval float64         `json:"interval_s,omitempty"`
	Min      *float64        `json:"min,omitempty"` // … and these their bounds
	Max      *float64        `json:"max,omitempty"`
	Cloud    uint64          `json:"cloud,omitempty"`   // so many readings from seq on are with the cloud alone, which acknowledged them
	Missing  uint64          `json:"missing,omitempty"` // readings from seq on
	Why      gateway.Why     `json:"why,omitempty"`
	Unread   uint64          `json:"unreadable,omitempty"` // readings from seq on that are held but cannot be read now
}

// putter writes in the form that was asked for.
func (k bufferExport) putter(w io.Writer) func(exported) error {
	if k.Format == "ndjson" {
		return func(x exported) error { return json.NewEncoder(w).Encode(x) }
	}
	return csvRows(w)
}

// gap writes what stands in the place of readings.
func (k bufferExport) gap(put func(exported) error, b store.Stretch, acked uint64) error {
	held := withTheCloud(b, acked)
	if held > 0 {
		if err := put(exported{Epoch: b.Epoch, Seq: b.First, Cloud: held}); err != nil {
			return err
		}
	}
	if b.N == held {
		return nil
	}
	return put(exported{Epoch: b.Epoch, Seq: b.First + held, Missing: b.N - held, Why: b.Gap.Why})
}

// writer writes an epoch, of which the cloud acknowledged the readings up to
// acked.
func (k bufferExport) writer(put func(exported) error, times gateway.Timelines, acked uint64) func(store.Stretch) error {
	return func(b store.Stretch) error {
		if b.Unread != nil && b.N > 0 && k.Format == "ndjson" {
			return put(exported{Epoch: b.Epoch, Seq: b.First, Unread: b.N})
		}
		if b.Gap != nil && k.Format == "ndjson" {
			return k.gap(put, b, acked)
		}
		clock := times.Clock(b.Header.Anchor)
		if err := k.readings(put, clock, b); err != nil {
			return err
		}
		return k.summaries(put, clock, b)
	}
}

// readings writes the readings of a stretch.
func (k bufferExport) readings(put func(exported) error, clock *gateway.WallClock, b store.Stretch) error {
	for i := range b.Readings {
		r := &b.Readings[i]
		x, wanted := k.row(b.Epoch, r.Channel, clock, r.At)
		if !wanted {
			continue
		}
		x.Seq, x.Value, x.Quality = b.First+uint64(i), number(r.Value), r.Quality.String()
		if err := put(x); err != nil {
			return err
		}
	}
	return nil
}

// summaries writes what is left of downsampled readings.
func (k bufferExport) summaries(put func(exported) error, clock *gateway.WallClock, b store.Stretch) error {
	for i := range b.Summaries {
		sum := &b.Summaries[i]
		x, wanted := k.row(b.Epoch, sum.Channel, clock, sum.From)
		if !wanted {
			continue
		}
		x.Seq, x.N, x.Interval, x.Quality = b.First, sum.N, sum.Interval.Seconds(), sum.Worst.String()
		x.Value, x.Min, x.Max = number(sum.Mean), number(sum.Min), number(sum.Max)
		if err := put(x); err != nil {
			return err
		}
	}
	return nil
}

// row fills what readings and summaries share.
func (k bufferExport) row(e gateway.EpochID, ch *gateway.Channel, clock *gateway.WallClock, s gateway.Stamp) (x exported, wanted bool) {
	at, q := clock.Wall(s)
	return exported{Epoch: e, Device: ch.Device, Quantity: ch.Quantity, Unit: ch.Unit, Time: &at, Clock: q.String()}, k.wants(ch, at)
}

// number gives nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func (k bufferExport) wants(ch *gateway.Channel, at time.Time) bool {
	return (k.Device == "" || k.Device == ch.Device) && (k.Quantity == "" || k.Quantity == ch.Quantity) &&
		!at.Before(k.From) && (k.To.IsZero() || at.Before(k.To))
}

// csvRows writes a header and then a row for each reading. The last three
// columns are those of thinned readings.
func csvRows(w io.Writer) func(exported) error {
	rows := csv.NewWriter(w)
	headed := false
	return func(x exported) error {
		if !headed {
			headed = true
			_ = rows.Write([]string{"timestamp", "time", "device_id", "quantity", "value", "unit", "quality", "epoch",
				"seq", "n", "min", "max"}) // Error tells
		}
		n := ""
		if x.N > 0 {
			n = strconv.FormatUint(x.N, 10)
		}
		_ = rows.Write([]string{x.Time.Format("2006-01-02T15:04:05.000Z"), x.Clock, x.Device, x.Quantity, decimal(x.Value), x.Unit, x.Quality,
			x.Epoch.String(), strconv.FormatUint(x.Seq, 10), n, decimal(x.Min), decimal(x.Max)})
		rows.Flush()
		return rows.Error()
	}
}

func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}
