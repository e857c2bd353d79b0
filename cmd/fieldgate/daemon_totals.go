package main

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/sample"
	"github.com/fieldgate/fieldgate/store"
)

// totals lists the channels that count.
func totals(cfg *config.Config, table []drivers.Driver) (all []gateway.Channel) {
	for _, c := range cfg.Devices {
		i := slices.IndexFunc(table, func(d drivers.Driver) bool { return d.Name == c.Driver })
		if i < 0 {
			continue
		}
		for _, q := range table[i].Quantities {
			if q.Total {
				all = append(all, gateway.Channel{Device: c.ID, Quantity: q.Name, Unit: q.Unit})
			}
		}
	}
	return all
}

// A resumed total is what the store knew of it at the start.
type resumed struct {
	store.Total
	found bool
}

// resume tells the devices what their totals go on from: the last readings that
// the store has of them. What was simulated is no total of a real device, nor the
// other way round.
func (d *daemon) resume(plan []sample.Device) {
	d.resumed = map[[2]string]resumed{}
	for i := range plan {
		dev := &plan[i]
		dev.Totals = map[string]float64{}
		for _, q := range dev.Quantities {
			if !q.Total {
				continue
			}
			var r resumed
			r.Total, r.found, _ = d.store.Total(dev.ID, q.Name)
			if (r.Quality == gateway.Simulated) != (dev.Quality == gateway.Simulated) {
				r.found = false
			}
			if r.found {
				dev.Totals[q.Name] = r.Value
			}
			d.resumed[[2]string{dev.ID, q.Name}] = r
		}
	}
}

// pulsesLost makes an event of what a total lacks. A total that begins at 0 lacks
// all that came before: a life that was killed before it stored anything, or none.
func (d *daemon) pulsesLost(l sample.Loss) {
	lines := d.store.Timelines()
	wall := func(at gateway.Stamp, a gateway.Anchor) time.Time {
		return time.UnixMicro(lines.Clock(a).Micros(at)).UTC()
	}
	now := d.clock.Anchor()
	body := gateway.PulsesLost{Quantity: l.Channel.Quantity, To: wall(l.To, now), Pulses: "unknown", Total: l.Total}
	if l.N > 0 {
		body.Pulses = l.N
	}
	r := d.resumed[[2]string{l.Channel.Device, l.Channel.Quantity}]
	switch {
	case l.From != 0:
		body.From = wall(l.From, now)
	case r.found:
		body.From, body.After = wall(r.At, r.Anchor), &gateway.After{Epoch: r.Name.Epoch, Seq: r.Name.Seq}
	}
	if text, err := json.Marshal(body); err == nil { // numbers, times and names: it can be encoded
		d.store.Note(gateway.Event{Kind: gateway.EventPulsesLost, Device: l.Channel.Device, Body: text})
	}
}
