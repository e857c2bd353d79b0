package main

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// notedMost is how many events of devices wait for the card at most. Beyond it
// the newest are left out, and counted: the status tells how each device is.
const notedMost = 256

// noted is what happened to devices, and waits to be made an event: sampling
// does not wait for the card. The zero value is ready.
type noted struct {
	mu      sync.Mutex
	waiting []gateway.Event
	left    int           // how many were left out since the last that was kept
	arrived chan struct{} // closed at the next one; nil: nobody waits
}

// sensorEvent takes what happened to a device.
func (d *daemon) sensorEvent(e sample.Event) {
	body, err := json.Marshal(e)
	if err != nil { // strings alone: cannot happen
		d.log.Error("an event of a device cannot be written", "device", e.Device, "error", err)
		return
	}
	q := d.sensors
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= notedMost {
		q.left++
		return
	}
	q.waiting = append(q.waiting, gateway.Event{Kind: gateway.EventSensor, At: d.clock.Stamp(), Device: e.Device, Body: body})
	if q.arrived != nil {
		close(q.arrived)
		q.arrived = nil
	}
}

// take gives all that wait, and else a channel that is closed when one comes.
func (q *noted) take() (all []gateway.Event, left int, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, left = q.waiting, q.left
	q.waiting, q.left = nil, 0
	if len(all) == 0 {
		q.arrived = make(chan struct{})
		arrived = q.arrived
	}
	return all, left, arrived
}

// noteSensors makes events durable, until ctx is done and none is left.
func (d *daemon) noteSensors(ctx context.Context) error {
	for {
		all, left, arrived := d.sensors.take()
		for _, e := range all {
			if _, err := d.store.AddEvent(e); err != nil { // the store has it in RAM, and tells of the card itself
				d.log.Warn("an event of a device is not on the card yet", "device", e.Device, "error", err)
			}
		}
		if left > 0 {
			d.log.Warn("the card was too slow for all events of devices", "left_out", left)
		}
		if len(all) > 0 {
			continue
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil
		}
	}
}
