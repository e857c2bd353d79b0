package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
	"github.com/fieldgate/fieldgate/store"
)

// What happens to a device is an event of kind sensor, each once and in order;
// none is lost at a stop. Beyond what may wait, the newest are left out.
func TestDevicesMakeEvents(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	c, err := clock.New("/", log)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(store.Options{Dir: t.TempDir(), Clock: c, Conditions: health.New(log), Log: log, MaxSize: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d := &daemon{log: log, clock: c, store: st, sensors: &noted{}}
	d.sensorEvent(sample.Event{Device: "tank", Bus: "i2c-1", State: "absent", Error: "no answer"})
	d.sensorEvent(sample.Event{Device: "tank", Bus: "i2c-1", State: "ok"})
	for range 2 * notedMost {
		d.sensorEvent(sample.Event{Bus: "i2c-1", State: "gone"})
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.noteSensors(ctx); err != nil {
		t.Error(err)
	}
	var bodies []string
	for _, e := range slices.Backward(st.Events(2 * notedMost)) {
		if e.Kind == gateway.EventSensor {
			bodies = append(bodies, e.Device+string(e.Body))
		}
	}
	want := `tank{"bus":"i2c-1","state":"absent","error":"no answer"} tank{"bus":"i2c-1","state":"ok"} {"bus":"i2c-1","state":"gone"}`
	if len(bodies) != notedMost || strings.Join(bodies[:3], " ") != want {
		t.Errorf("%d events: %.300q", len(bodies), bodies)
	}
}
