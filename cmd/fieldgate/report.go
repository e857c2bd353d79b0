package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/gateway/sample"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// report says to the cloud how the gateway is.
func (d *daemon) report() *wire.Status {
	m := &wire.Status{Health: []wire.Condition{}, Devices: []wire.StatusDevice{}, Figures: map[string]float64{}}
	for _, c := range d.health.List() {
		m.Health = append(m.Health, wire.Condition{
			Code: c.Code, Subject: c.Subject, Severity: string(c.Severity), Sentence: c.Sentence, Since: wire.Time(c.Since.UnixMicro()),
		})
	}
	for _, dev := range d.sampler.States() {
		out := wire.StatusDevice{ID: dev.ID, Online: dev.State == sample.OK, Channels: []wire.StatusChannel{}}
		for _, ch := range dev.Channels {
			out.Channels = append(out.Channels, wire.StatusChannel{Quantity: ch.Quantity, Unit: ch.Unit})
		}
		m.Devices = append(m.Devices, out)
	}
	st := d.store.Stats()
	m.Figures["store_bytes"], m.Figures["unacknowledged"] = float64(st.Bytes), float64(st.Unacked)
	if st.Keeping != files.Durable {
		m.Figures["store_volatile"] = 1
	}
	m.Figures["oldest_unacknowledged_s"] = st.OldestUnackedAge.Seconds()
	return m
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

// waiting gives about how many bytes wait for the cloud, by the share of them
// in what is stored, and when the oldest was measured.
func (d *daemon) waiting() (bytes uint64, oldest time.Time) {
	st := d.store.Stats()
	if st.Unacked == 0 {
		return 0, time.Time{}
	}
	if all := st.Stored + st.Journal + st.Head; all > 0 {
		share := min(1, float64(st.Unacked)/float64(all))
		bytes = uint64(share * float64(st.Bytes+st.JournalBytes))
	}
	if st.OldestUnackedAge > 0 {
		anchor := d.clock.Anchor()
		oldest = anchor.Wall(d.clock.Stamp()).Add(-st.OldestUnackedAge)
	}
	return bytes, oldest
}
